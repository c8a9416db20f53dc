//! Server-sent events (WHATWG HTML, section 9.2), as they come in.

/// One event at most, in bytes: a tool's answer with a picture in it, and a bound on what a server can have held here.
pub(super) const EVENT_LEN_MAX: usize = 32 * 1024 * 1024;

/// One event.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Event {
    /// Its data: a message, of events without another name.
    pub(super) data: String,
}

/// A stream as it comes in.
#[derive(Default)]
pub(super) struct Events {
    line: Vec<u8>,
    after_return: bool,
    name: String,
    data: String,
    has_data: bool,
    /// The last event's id: where the stream goes on.
    pub(super) last_id: Option<String>,
}

/// The server sends more in one event than is held here.
#[derive(Debug, thiserror::Error)]
#[error("an event of more than {} MiB", EVENT_LEN_MAX / 1024 / 1024)]
pub(super) struct TooLong;

impl Events {
    /// A stream that goes on after this event.
    pub(super) fn after(last_id: Option<String>) -> Self {
        Self { last_id, ..Self::default() }
    }

    /// Takes a piece in; what is complete comes out.
    pub(super) fn push(&mut self, piece: &[u8]) -> Result<Vec<Event>, TooLong> {
        let mut events = Vec::new();
        for byte in piece {
            let ends_pair = std::mem::replace(&mut self.after_return, *byte == b'\r') && *byte == b'\n';
            match byte {
                b'\n' if ends_pair => {}
                b'\r' | b'\n' => events.extend(self.end_line()),
                _ if self.line.len() + self.data.len() >= EVENT_LEN_MAX => return Err(TooLong),
                _ => self.line.push(*byte),
            }
        }
        Ok(events)
    }

    fn end_line(&mut self) -> Option<Event> {
        let line = std::mem::take(&mut self.line);
        let line = String::from_utf8_lossy(&line);
        if line.is_empty() {
            let (data, named) = (std::mem::take(&mut self.data), std::mem::take(&mut self.name));
            let whole = std::mem::take(&mut self.has_data) && (named.is_empty() || named == "message");
            return (whole && !data.is_empty()).then_some(Event { data });
        }
        let (field, value) = line.split_once(':').unwrap_or((&line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "data" => {
                if std::mem::replace(&mut self.has_data, true) {
                    self.data.push('\n');
                }
                self.data.push_str(value);
            }
            "event" => self.name = value.to_owned(),
            // It goes into a header.
            "id" if value.len() <= 1_024 && value.bytes().all(|byte| (b' '..=b'~').contains(&byte)) => {
                self.last_id = Some(value.to_owned());
            }
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_read_however_they_are_cut_and_ended() {
        let text = ": hello\r\nid: 7\r\nevent: message\r\ndata: {\"a\":\r\ndata: 1}\r\n\r\ndata:x\n\nevent: other\ndata: y\n\nid\n\n";
        for size in [1, 2, 3, 7, text.len()] {
            let mut events = Events::default();
            let pieces = text.as_bytes().chunks(size);
            let all: Vec<String> =
                pieces.flat_map(|piece| events.push(piece).unwrap()).map(|event| event.data).collect();
            assert_eq!(all, ["{\"a\":\n1}", "x"], "in pieces of {size}");
            assert_eq!(events.last_id.as_deref(), Some(""));
        }
    }

    #[test]
    fn an_event_without_an_end_is_not_held_for_ever() {
        let mut events = Events::default();
        let piece = vec![b'a'; 1024 * 1024];
        let most = EVENT_LEN_MAX / piece.len();
        assert!((0..=most).any(|_| events.push(&piece).is_err()));
    }
}
