//! Image builds and user namespaces: what an inner build gets from outside, and what stays of it.

use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use hallpass_testkit::world::NOTES;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::process::Command;

use super::machine::{Home, Machine, Said, in_time};
use crate::program::WHOLE;

/// An API that notes the tokens it was shown, and whether each was good then.
pub(super) async fn api(machine: Arc<Machine>) -> (u16, Arc<Mutex<Vec<(String, bool)>>>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let (port, shown) = (listener.local_addr().unwrap().port(), Arc::<Mutex<Vec<(String, bool)>>>::default());
    let notes = shown.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = vec![0u8; 16 * 1024];
            let len = stream.read(&mut request).await.unwrap();
            let head = String::from_utf8_lossy(&request[..len]).into_owned();
            let token =
                head.lines().find_map(|line| line.strip_prefix("Authorization: Bearer ")).unwrap_or_default();
            let good = machine.world.accepts(token).await;
            notes.lock().unwrap().push((token.to_owned(), good));
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\nnotes";
            let _ = stream.write_all(answer).await;
        }
    });
    (port, shown)
}

/// The files below a folder that hold a text.
fn holding(folder: &Path, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let (path, kind) = (entry.path(), entry.file_type().unwrap());
        if kind.is_dir() {
            found.extend(holding(&path, text));
        } else if kind.is_file() {
            let bytes = std::fs::read(&path).unwrap_or_default();
            if bytes.windows(text.len()).any(|part| part == text.as_bytes()) {
                found.push(path.display().to_string());
            }
        }
    }
    found
}

#[tokio::test]
async fn an_image_build_gets_a_narrower_pass_and_no_layer_or_cache_holds_it() {
    let machine = Arc::new(Machine::signed_in().await);
    let (port, shown) = api(machine.clone()).await;
    let context = machine.path("context");
    std::fs::create_dir(&context).unwrap();
    std::fs::copy("/bin/busybox", context.join("busybox")).unwrap();
    let recipe = format!(
        "FROM scratch\nCOPY busybox /bin/busybox\nRUN --mount=type=secret,id=pass [\"/bin/busybox\", \"sh\", \"-c\", \
         \"/bin/busybox wget -q -O /fetched --header \\\"Authorization: Bearer $(/bin/busybox cat /run/secrets/pass)\\\" \
         http://127.0.0.1:{port}/notes\"]\n"
    );
    std::fs::write(context.join("Containerfile"), recipe).unwrap();
    let store = machine.path("images");
    std::fs::create_dir(&store).unwrap();
    let build = format!(
        "buildah --root {store}/root --runroot {store}/run --storage-driver vfs bud --layers --isolation chroot \
         --secret id=pass,src=/proc/self/fd/9 -t built {context} 9<\"$HALLPASS_TOKEN_FILE\" >&2",
        store = store.display(),
        context = context.display()
    );
    let arguments =
        ["exec", "--as", "file", "--scope", "notes:read", "--purpose", "build", "--", "sh", "-c", &build];
    let mut command = machine.hallpass(&arguments);
    command.env("TMPDIR", &store).env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    let said = Said(in_time(command.output()).await.unwrap());
    assert_eq!(said.code(), 0, "{}", said.err());
    let (token, good) = shown.lock().unwrap().pop().unwrap();
    assert!(good && !token.is_empty(), "the build had a pass that was good");
    machine.until_dead(&token).await;
    assert!(holding(&store, "notes").iter().any(|file| file.ends_with("/fetched")), "the build did its work");
    assert_eq!(holding(&machine.path(""), &token), Vec::<String>::new(), "no layer, no cache, no file");
}

/// As a builder asks that mounts the socket, for each step anew.
#[tokio::test]
async fn a_build_asks_a_socket_for_what_it_needs_and_no_layer_holds_it() {
    let machine = Arc::new(Machine::signed_in().await);
    let (port, shown) = api(machine.clone()).await;
    let context = machine.path("context");
    std::fs::create_dir(&context).unwrap();
    std::fs::copy("/bin/busybox", context.join("busybox")).unwrap();
    // One step by the program, one by whoever speaks HTTP, and one that wants more than there is.
    let recipe = format!(
        "FROM scratch\nCOPY busybox /bin/sh\nENV HALLPASS_TOKEN_SOCKET=/pass.sock\n\
         RUN hallpass exec --purpose fetch -- sh -c '/usr/bin/curl --silent --output /first --header \"Authorization: Bearer $HALLPASS_TOKEN\" http://127.0.0.1:{port}/notes'\n\
         RUN /usr/bin/curl --silent --unix-socket /pass.sock --data '{{}}' http://hallpass/v1/token | /usr/bin/sed 's/.*\"access_token\":\"\\([^\"]*\\)\".*/Authorization: Bearer \\1/' | /usr/bin/curl --silent --output /second --header @- http://127.0.0.1:{port}/notes\n\
         RUN hallpass token --scope notes:write 2>/refused; echo $? >/code\n"
    );
    std::fs::write(context.join("Containerfile"), recipe).unwrap();
    let store = machine.path("images");
    std::fs::create_dir(&store).unwrap();
    let build = format!(
        "buildah --root {store}/root --runroot {store}/run --storage-driver vfs bud --layers --isolation chroot \
         -v /usr:/usr:ro -v /lib:/lib:ro -v /lib64:/lib64:ro -v {program}:/bin/hallpass:ro \
         -v $HALLPASS_TOKEN_SOCKET:/pass.sock \
         -t built {context} >&2",
        store = store.display(),
        program = WHOLE, // it needs no other file
        context = context.display()
    );
    let arguments =
        ["exec", "--as", "socket", "--scope", "notes:read", "--purpose", "build", "--", "sh", "-c", &build];
    let mut command = machine.hallpass(&arguments);
    command.env("TMPDIR", &store).env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    let said = Said(in_time(command.env("XDG_RUNTIME_DIR", machine.path("")).output()).await.unwrap());
    assert_eq!(said.code(), 0, "{}", said.err());
    let shown = shown.lock().unwrap().clone();
    assert_eq!(shown.len(), 2, "{}", said.err());
    for (token, good) in &shown {
        assert!(*good && !token.is_empty());
        assert!(!machine.world.accepts(token).await, "when the build is over, so are its passes");
        assert_eq!(holding(&machine.path(""), token), Vec::<String>::new(), "no layer, no cache, no file");
    }
    for file in ["/first", "/second"] {
        assert!(holding(&store, "notes").iter().any(|found| found.ends_with(file)), "{file}");
    }
    let refused = holding(&store, "reaches `notes:read` at most, and `notes:write` was asked for");
    assert!(refused.iter().any(|file| file.ends_with("/refused")), "{refused:?}");
    assert!(holding(&store, "5\n").iter().any(|file| file.ends_with("/code")));
}

/// A command in a user namespace of its own, as in a rootless container.
async fn in_a_namespace(home: &Home, script: &str) -> Said {
    let there = home.hallpass(&["--version"]);
    let ours = there.as_std().get_program().to_owned();
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "sh", "-c", script]).arg(ours);
    let kept = there.as_std().get_envs().filter_map(|(name, value)| Some((name, value?)));
    command.env_clear().envs(kept.filter(|(name, _)| *name != "HALLPASS_STORE"));
    Said(in_time(command.stdin(Stdio::null()).stdout(Stdio::piped()).output()).await.unwrap())
}

#[tokio::test]
async fn in_a_user_namespace_the_key_is_not_put_where_it_goes_with_it() {
    use hallpass_testkit::small_provider::{Manner, SmallProvider};
    let provider = SmallProvider::start(Manner::default()).await;
    let home = Home::new();
    let script =
        format!("\"$0\" login {} --flow device --resource {NOTES} && \"$0\" status --json", provider.issuer);
    let said = in_a_namespace(&home, &script).await;
    assert_eq!(
        (said.code(), said.json()["sign_ins"][0]["key"].as_str()),
        (0, Some("passphrase")),
        "{}",
        said.err()
    );
    // Outside, where the namespace is long gone, the sign-in still stands.
    assert_eq!(home.run(&["token", "--resource", NOTES]).await.code(), 0);

    let nobody = Home::new();
    let script = format!(
        "unset HALLPASS_PASSPHRASE_FILE; HALLPASS_NO_INPUT=1 \"$0\" login {} --flow device",
        provider.issuer
    );
    let said = in_a_namespace(&nobody, &script).await;
    assert_eq!(said.code(), 70, "{}", said.err());
    assert!(said.err().contains("goes with it") && said.err().contains("--one-run"), "{}", said.err());
}

/// Everything a login for one run could write is below its home; the tokens are those the issuer's provider gave.
#[tokio::test]
async fn a_login_for_one_run_leaves_no_byte_of_a_token_on_disk_however_it_ends() {
    use hallpass_store::Answer;
    use rustix::process::{Pid, Signal, kill_process};
    for killed in [false, true] {
        let machine = Machine::new().await;
        let script = machine.while_it_lasts(&format!("[ ! -e {} ]", machine.path("go").display()));
        let started = machine.path("started");
        let told = format!("printf %s \"$HALLPASS_TOKEN\" | sha256sum > {}; {script}", started.display());
        let (mut child, code) = machine.start_login(&["--one-run", "--", "sh", "-c", &told]).await;
        machine.world.answer_device(&code, machine.world.ada, Answer::Yes).await;
        super::machine::until("the command runs", async || started.exists()).await;
        // Access tokens begin so, and refresh tokens so.
        let none = |when: &str| {
            for start in ["eyJ", "hpr_", "HALLPASS-RECORD"] {
                let found = holding(&machine.path(""), start);
                assert!(found.is_empty(), "{when}: {start} in {found:?}");
            }
            assert!(!machine.path(".local").exists(), "{when}: it needs no folder");
        };
        none("while it runs");
        if killed {
            kill_process(Pid::from_raw(child.id().unwrap() as i32).unwrap(), Signal::KILL).unwrap();
        }
        machine.let_go();
        in_time(child.wait()).await.unwrap();
        none("after it");
        super::machine::until("the session is cut", async || {
            machine.world.ledger_from(0).await.iter().any(|entry| entry == "cut: signed_out")
        })
        .await;
    }
}
