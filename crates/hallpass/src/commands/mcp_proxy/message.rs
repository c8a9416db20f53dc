//! JSON-RPC messages of MCP, as far as their transport must know them.

use std::collections::HashMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

/// Where a message says which revision it is of (2026-07-28 and later). Earlier ones agree on one once, at the beginning.
const REVISION: &str = "io.modelcontextprotocol/protocolVersion";
/// The answer of a server that missed a header, or had another one than the message (2026-07-28, Streamable HTTP).
const HEADER_MISMATCH: i64 = -32_020;
/// Errors of the transport's own (JSON-RPC 2.0, section 5.1: -32000 to -32099 are the implementation's).
const TRANSPORT: i64 = -32_000;
/// Tools whose schemas are remembered: more than any server lists.
const TOOLS_MAX: usize = 4_096;

/// One line of the client's: a message, or several (2025-03-26).
pub(super) struct Message {
    pub(super) text: String,
    read: Value,
}

impl Message {
    /// Reads a line. `None` if it is no JSON object or array.
    pub(super) fn read(line: &str) -> Option<Self> {
        let read: Value = serde_json::from_str(line).ok()?;
        (read.is_object() || read.is_array()).then(|| Self { text: line.to_owned(), read })
    }

    /// Its method, if it is one request or notification.
    pub(super) fn method(&self) -> Option<&str> {
        self.read["method"].as_str()
    }

    /// The ids that wait for an answer.
    pub(super) fn ids(&self) -> Vec<Value> {
        let all = self.read.as_array().map_or_else(|| std::slice::from_ref(&self.read), Vec::as_slice);
        all.iter().filter(|one| one["method"].is_string()).filter_map(|one| id_of(one).cloned()).collect()
    }

    /// Which request it calls off, if it does that.
    pub(super) fn calls_off(&self) -> Option<String> {
        (self.method() == Some("notifications/cancelled"))
            .then(|| self.read["params"]["requestId"].to_string())
    }

    /// The revision that it is of, where it says so itself.
    pub(super) fn revision(&self) -> Option<&str> {
        self.read["params"]["_meta"][REVISION].as_str()
    }

    /// The headers that repeat what is in it (2026-07-28, Streamable HTTP, "Standard Request Headers").
    pub(super) fn headers(&self, tools: &Tools) -> Vec<(String, String)> {
        let (Some(revision), Some(method)) = (self.revision(), self.method()) else { return Vec::new() };
        let mut headers = vec![
            ("mcp-protocol-version".to_owned(), revision.to_owned()),
            ("mcp-method".to_owned(), method.to_owned()),
        ];
        let params = &self.read["params"];
        let named = match method {
            "tools/call" | "prompts/get" => params["name"].as_str(),
            "resources/read" => params["uri"].as_str(),
            "tasks/get" | "tasks/update" | "tasks/cancel" => params["taskId"].as_str(),
            _ => None,
        };
        headers.extend(named.map(|name| ("mcp-name".to_owned(), in_header(name))));
        if method == "tools/call"
            && let Some(wanted) = params["name"].as_str().and_then(|name| tools.0.get(name))
        {
            let arguments = &params["arguments"];
            let values = wanted.iter().filter_map(|(path, header)| {
                let value = path.iter().fold(arguments, |value, part| &value[part]);
                Some((format!("mcp-param-{}", header.to_ascii_lowercase()), in_header(&text_of(value)?)))
            });
            headers.extend(values);
        }
        headers
    }

    /// The question that tells which headers a call of a tool needs, where that was never asked.
    pub(super) fn tools_question(&self, tools: &Tools, cursor: Option<&str>) -> Option<Message> {
        let unknown = self.read["params"]["name"].as_str().is_some_and(|name| !tools.0.contains_key(name));
        if self.method() != Some("tools/call") || (cursor.is_none() && !unknown) {
            return None;
        }
        let mut params = json!({ "_meta": self.read["params"]["_meta"] });
        if let Some(cursor) = cursor {
            params["cursor"] = cursor.into();
        }
        let read =
            json!({ "jsonrpc": "2.0", "id": "hallpass-tools", "method": "tools/list", "params": params });
        Some(Message { text: read.to_string(), read })
    }
}

fn id_of(message: &Value) -> Option<&Value> {
    message.get("id").filter(|id| !id.is_null())
}

/// Which arguments of which tools are repeated in headers (`x-mcp-header`), as far as the server listed them.
#[derive(Default)]
pub(super) struct Tools(HashMap<String, Vec<(Vec<String>, String)>>);

impl Tools {
    /// Learns from an answer that went by. Where it goes on, if it is a list that does.
    pub(super) fn learn(&mut self, answer: &Value) -> Option<String> {
        for tool in answer["result"]["tools"].as_array()? {
            let Some(name) = tool["name"].as_str() else { continue };
            let mut wanted = Vec::new();
            scan(&tool["inputSchema"], &mut Vec::new(), &mut wanted);
            if self.0.len() < TOOLS_MAX || self.0.contains_key(name) {
                self.0.insert(name.to_owned(), wanted);
            }
        }
        answer["result"]["nextCursor"].as_str().map(str::to_owned)
    }
}

/// Finds what is repeated, through `properties` alone.
fn scan(schema: &Value, path: &mut Vec<String>, wanted: &mut Vec<(Vec<String>, String)>) {
    /// Deeper schemas than this are nobody's.
    const DEPTH_MAX: usize = 16;
    let Some(properties) = schema["properties"].as_object().filter(|_| path.len() < DEPTH_MAX) else {
        return;
    };
    for (name, property) in properties {
        path.push(name.clone());
        let header = property["x-mcp-header"].as_str().filter(|header| is_token(header));
        wanted.extend(header.map(|header| (path.clone(), header.to_owned())));
        scan(property, path, wanted);
        path.pop();
    }
}

/// RFC 9110, section 5.6.2.
fn is_token(text: &str) -> bool {
    let tchar = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(tchar)
}

fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
        _ => None,
    }
}

/// A value as a header holds it: as it is, or in base64 where it would not arrive as it is.
fn in_header(value: &str) -> String {
    const BEFORE: &str = "=?base64?";
    let plain = value.bytes().all(|byte| byte == b'\t' || (b' '..=b'~').contains(&byte));
    let looks_encoded = value.starts_with(BEFORE) && value.ends_with("?=");
    match plain && !value.is_empty() && value.trim() == value && !looks_encoded {
        true => value.to_owned(),
        false => format!("{BEFORE}{}?=", STANDARD.encode(value)),
    }
}

/// Whether an answer says that a header was missing or another.
pub(super) fn misses_a_header(answer: &Value) -> bool {
    answer["error"]["code"].as_i64() == Some(HEADER_MISMATCH)
}

/// Whether a message of the server's is the answer to one of these.
pub(super) fn answers(message: &Value, ids: &[Value]) -> bool {
    let one = |message: &Value| {
        let answer = message.get("result").is_some() || message.get("error").is_some();
        answer && id_of(message).is_some_and(|id| ids.contains(id))
    };
    one(message) || message.as_array().is_some_and(|all| all.iter().any(one))
}

/// An answer of the transport's own, for whoever waits.
pub(super) fn failed(id: &Value, why: &str, hint: Option<&str>) -> String {
    let message = match hint {
        Some(hint) => format!("{why}; {hint}"),
        None => why.to_owned(),
    };
    json!({ "jsonrpc": "2.0", "id": id, "error": { "code": TRANSPORT, "message": message } }).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(arguments: &Value) -> Message {
        let params = json!({
            "name": "search", "arguments": arguments, "_meta": { REVISION: "2026-07-28" },
        });
        Message::read(
            &json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params }).to_string(),
        )
        .unwrap()
    }

    fn tools() -> Tools {
        let mut tools = Tools::default();
        let schema = json!({ "properties": {
            "region": { "type": "string", "x-mcp-header": "Region" },
            "deep": { "properties": { "on": { "type": "boolean", "x-mcp-header": "On" } } },
            "bad": { "type": "string", "x-mcp-header": "a b\r\nx: y" },
        } });
        let list = json!({ "result": { "tools": [{ "name": "search", "inputSchema": schema }], "nextCursor": "2" } });
        assert_eq!(tools.learn(&list).as_deref(), Some("2"));
        tools
    }

    #[test]
    fn a_message_of_its_own_revision_is_repeated_in_headers() {
        let headers =
            call(&json!({ "region": "café", "deep": { "on": true }, "bad": "x" })).headers(&tools());
        let expected = [
            ("mcp-protocol-version", "2026-07-28"),
            ("mcp-method", "tools/call"),
            ("mcp-name", "search"),
            ("mcp-param-on", "true"),
            ("mcp-param-region", "=?base64?Y2Fmw6k=?="),
        ];
        let mut headers: Vec<(&str, &str)> =
            headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        headers[3..].sort_unstable();
        assert_eq!(headers, expected);
        let absent = call(&json!({ "region": null })).headers(&tools());
        assert_eq!(absent.len(), 3, "{absent:?}");
    }

    #[test]
    fn a_message_of_an_older_revision_is_repeated_in_none() {
        let old =
            Message::read(r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"search"}}"#);
        assert_eq!(old.unwrap().headers(&tools()), []);
    }

    #[test]
    fn no_value_of_a_message_ends_its_header() {
        for value in ["a\r\nauthorization: x", " a", "", "=?base64?x?=", "\u{0}"] {
            let written = in_header(value);
            assert!(written.starts_with("=?base64?") && !written.contains(['\r', '\n', '\0']), "{written}");
        }
        assert_eq!(in_header("a b"), "a b");
    }

    #[test]
    fn what_waits_and_what_answers_it_are_told_apart() {
        let both = Message::read(
            r#"[{"id":1,"method":"ping"},{"method":"notifications/x"},{"id":"b","result":{}}]"#,
        );
        let ids = both.unwrap().ids();
        assert_eq!(ids, [json!(1)]);
        assert!(answers(&json!({ "id": 1, "result": {} }), &ids));
        assert!(answers(&json!([{ "id": 1, "error": {} }]), &ids));
        assert!(!answers(&json!({ "id": 1, "method": "sampling/createMessage" }), &ids));
        assert!(!answers(&json!({ "id": "1", "result": {} }), &ids));
        assert!(Message::read("7").is_none() && Message::read("{").is_none());
    }
}
