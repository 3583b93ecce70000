#[path = "../../support/server.rs"]
mod server;
#[path = "../../support/truth.rs"]
mod truth;

use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use crate::{PAGE, POLICY, page};
use server::Running;

#[tokio::test]
async fn the_page_is_served_with_a_policy() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let served = tokio::spawn(async { axum::serve(listener, page()).await });
    let answer = reqwest::get(url).await.unwrap();
    assert_eq!(answer.headers()["content-security-policy"], POLICY);
    assert_eq!(answer.headers()["content-type"], "text/html; charset=utf-8");
    assert_eq!(answer.text().await.unwrap(), PAGE);
    served.abort();
}

#[test]
fn the_page_never_makes_markup_of_data() {
    for word in [
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "document.write",
        "eval(",
    ] {
        assert!(!PAGE.contains(word), "{word}");
    }
}

/// The script of the page that knows neither page nor socket.
fn chain_script() -> &'static str {
    let (_, rest) = PAGE.split_once("<script id=\"chain\">").unwrap();
    rest.split_once("</script>").unwrap().0
}

#[test]
fn the_pages_script_follows_the_stream_to_the_truth() {
    if Command::new("node").arg("--version").output().is_err() {
        eprintln!("skipped: node is not here");
        return;
    }
    let histories: Vec<_> = (0..20).map(|seed| truth::history(seed, 60)).collect();
    let messages: Vec<&Vec<Value>> = histories.iter().map(|(_, messages)| messages).collect();
    let program = format!(
        r#"{}
        const plain = (value) => value instanceof Map
            ? Object.fromEntries([...value].map(([name, inner]) => [name, plain(inner)])) : value;
        const histories = JSON.parse(require("fs").readFileSync(0, "utf8"));
        console.log(JSON.stringify(histories.map(([snapshot, ...deltas]) => {{
            const chain = new Chain(snapshot);
            const state = () => ({{ chain: plain(chain.fields), quotes: plain(chain.quotes) }});
            const states = [state()];
            for (const delta of deltas) {{
                if (!chain.apply(delta)) throw new Error("it follows");
                states.push(structuredClone(state()));
            }}
            if (chain.apply(deltas[3]) || chain.apply({{ ...deltas[3], epoch: "x", seq: chain.seq + 1 }}))
                throw new Error("it does not follow");
            if (JSON.stringify(state()) !== JSON.stringify(states.at(-1)))
                throw new Error("nothing may change");
            return states;
        }})));"#,
        chain_script()
    );
    let mut node = Command::new("node")
        .args(["-e", &program])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = node.stdin.take().unwrap();
    stdin
        .write_all(json!(messages).to_string().as_bytes())
        .unwrap();
    drop(stdin);
    let output = node.wait_with_output().unwrap();
    assert!(output.status.success());
    let ended: Value = serde_json::from_slice(&output.stdout).unwrap();
    for (seed, (states, _)) in histories.iter().enumerate() {
        // One after the other: the whole would be unreadable.
        for (at, state) in states.iter().enumerate() {
            assert_eq!(ended[seed][at], *state, "seed {seed}, state {at}");
        }
    }
}

/// A browser without a window, with one page, until dropped.
struct Browser {
    process: Child,
    page: WebSocketStream<MaybeTlsStream<TcpStream>>,
    last: u64,
    _profile: TempDir,
}

impl Browser {
    /// None where there is no browser.
    async fn start() -> Option<Self> {
        let profile = TempDir::new().unwrap();
        let mut process = ["chromium-headless-shell", "chromium"]
            .into_iter()
            .find_map(|name| {
                Command::new(name)
                    .args(["--headless", "--no-sandbox", "--disable-gpu"])
                    .args(["--remote-debugging-port=0", "about:blank"])
                    .arg(format!("--user-data-dir={}", profile.path().display()))
                    .stderr(Stdio::piped())
                    // What is started may be a script, which would not take the browser
                    // with it when it ends: they end as a group.
                    .process_group(0)
                    .spawn()
                    .ok()
            })?;
        let mut said = BufReader::new(process.stderr.take().unwrap()).lines();
        let port = said.by_ref().map_while(Result::ok).find_map(|line| {
            let (_, rest) = line.split_once("DevTools listening on ws://127.0.0.1:")?;
            Some(rest.split_once('/')?.0.to_owned())
        });
        let port = port.expect("the browser says where it can be spoken to");
        // A browser whose words nobody reads would stop some day.
        std::thread::spawn(move || said.count());
        let url = format!("http://127.0.0.1:{port}/json");
        let pages: Value = reqwest::get(url).await.unwrap().json().await.unwrap();
        let pages = pages.as_array().unwrap().iter();
        let url = pages
            .filter(|page| page["type"] == "page")
            .find_map(|page| page["webSocketDebuggerUrl"].as_str())
            .unwrap();
        let (page, _) = tokio_tungstenite::connect_async(url).await.unwrap();
        Some(Self {
            process,
            page,
            last: 0,
            _profile: profile,
        })
    }

    async fn call(&mut self, method: &str, params: Value) -> Value {
        self.last += 1;
        let call = json!({"id": self.last, "method": method, "params": params});
        self.page
            .send(Message::text(call.to_string()))
            .await
            .unwrap();
        loop {
            let message = self.page.next().await.unwrap().unwrap();
            if let Message::Text(text) = message
                && let Ok(answer) = serde_json::from_str::<Value>(&text)
                && answer["id"] == self.last
            {
                return answer["result"].clone();
            }
        }
    }

    async fn evaluate(&mut self, script: &str) -> Value {
        let params = json!({"expression": script, "returnByValue": true});
        let answer = self.call("Runtime.evaluate", params).await;
        assert!(
            answer.get("exceptionDetails").is_none(),
            "{script}: {answer}"
        );
        answer["result"]["value"].clone()
    }

    /// Waits until the page says of itself that it is `kind`; what it says then.
    async fn until(&mut self, kind: &str) -> String {
        let start = Instant::now();
        let look =
            "const it = document.getElementById('state'); [it?.dataset.kind, it?.textContent]";
        loop {
            let state = self.evaluate(&format!("{{ {look} }}")).await;
            if state[0] == kind {
                return state[1].as_str().unwrap().to_owned();
            }
            assert!(start.elapsed() < Duration::from_secs(30), "{kind}: {state}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let group = format!("-{}", self.process.id());
        let _ = Command::new("kill").args(["-KILL", "--", &group]).status();
        let _ = self.process.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_shows_the_chain_and_says_what_is_wrong() {
    let Some(mut browser) = Browser::start().await else {
        eprintln!("skipped: no browser is here (Debian: apt-get install chromium-headless-shell)");
        return;
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    let served = tokio::spawn(async { axum::serve(listener, page()).await });
    let allowed = format!("[http]\ncors_origins = [\"{origin}\"]\n");
    let server = Running::start(&allowed).await;

    let url = format!(
        "{origin}/?server=http://{}&symbol=RELIANCE&expiry=24FEB2026&width=5",
        server.addr
    );
    browser.call("Page.navigate", json!({"url": url})).await;
    let said = browser.until("live").await;
    assert!(said.starts_with("Live: RELIANCE at "), "{said}");
    let rows = "[...document.getElementById('rows').rows].map((row) => row.cells[2].textContent)";
    let rows = browser.evaluate(rows).await;
    let read = format!(
        "http://{}/api/v2/option-chain/RELIANCE?expiry=24FEB2026&width=5",
        server.addr
    );
    let read: Value = reqwest::get(read).await.unwrap().json().await.unwrap();
    let strikes = read["strikes"].as_array().unwrap().iter();
    let strikes: Vec<String> = strikes
        .map(|strike| strike.as_f64().unwrap().to_string())
        .collect();
    assert_eq!(rows, json!(strikes));

    // What comes from outside is text, whatever it looks like.
    let wrong = "document.getElementById('symbol').value = '<img src=x>';
                 document.getElementById('form').requestSubmit();";
    browser.evaluate(wrong).await;
    let said = browser.until("refused").await;
    assert!(said.contains("<img src=x>"), "{said}");
    assert_eq!(browser.evaluate("document.images.length").await, 0);

    // Without a server the page says so, and goes on trying.
    server.stop().await;
    let again = "document.getElementById('symbol').value = 'RELIANCE';
                 document.getElementById('form').requestSubmit();";
    browser.evaluate(again).await;
    let said = browser.until("lost").await;
    assert!(said.contains("does not answer"), "{said}");
    served.abort();
}
