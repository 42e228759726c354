//! Shows how a Rust app, with Tauri or without, runs the sidecar at its start, and what it shows the user.
//!
//! It uses only the standard library, so that it runs as it is:
//!
//!     rustc --edition 2021 docs/examples/start_up.rs && ./start_up ~/.ait42 dist/migrator
//!
//! In an app, `emit` passes each line to the window, which parses it as JSON; a Rust program uses serde_json.

use std::env;
use std::ffi::OsString;
use std::io::{self, BufRead, BufReader};
use std::process::{Command, ExitCode, Stdio};

fn main() -> ExitCode {
    let mut words = env::args_os().skip(1);
    let (Some(data_dir), Some(program)) = (words.next(), words.next()) else {
        eprintln!("usage: start_up DATA_DIR COMMAND…");
        return ExitCode::from(2);
    };
    let sidecar = Sidecar {
        program,
        before: words.collect(),
        data_dir,
    };
    match sidecar.bring_up_to_date() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            println!("log: the sidecar can't be run: {error}"); // it is missing: the app starts
            ExitCode::SUCCESS
        }
    }
}

struct Sidecar {
    program: OsString,
    before: Vec<OsString>, // arguments that come first, as in python -m migrator; none for dist/migrator
    data_dir: OsString,
}

impl Sidecar {
    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(&self.before)
            .arg("--data-dir")
            .arg(&self.data_dir);
        command
    }

    /// Migrate if necessary; returns whether the app may start.
    fn bring_up_to_date(&self) -> io::Result<bool> {
        let asked = self.command().args(["status", "--json"]).output()?;
        let status = String::from_utf8_lossy(&asked.stdout);
        if asked.status.success() {
            // Quotes within a text are escaped with a backslash, so this can only be the member itself.
            if !status.contains("\"lost\": null") {
                println!("The database of your history is not where it was. Please put it back.");
                return Ok(false);
            }
            if !status.contains("\"needs_migration\": true") {
                return Ok(true);
            }
        } else {
            println!("log: {}", String::from_utf8_lossy(&asked.stderr).trim()); // the migration reports what is wrong
        }
        let mut running = self
            .command()
            .args(["migrate", "--progress", "jsonl"])
            .stdout(Stdio::null()) // a summary for people
            .stderr(Stdio::piped())
            .spawn()?;
        let lines = BufReader::new(running.stderr.take().expect("it is piped"));
        let mut finished = false;
        for line in lines.split(b'\n') {
            let line = line?;
            let line = String::from_utf8_lossy(&line);
            if line.starts_with('{') && line.contains("\"event\": \"") {
                finished |= line.contains("\"event\": \"finished\"");
                emit("migration", &line);
            } else {
                println!("log: {}", line.trim_end());
            }
        }
        let code = running.wait()?.code(); // None if it was killed
        Ok(match code {
            Some(0) => say("Your history is ready.", true),
            code if !finished && code != Some(2) => say(
                "The update was interrupted. Nothing is lost; it goes on at the next start.",
                true,
            ),
            Some(3) => say("Your history is ready, and something needs a look.", true),
            Some(4) => say(
                "Another window is updating your history. Please wait for it.",
                false,
            ),
            _ => say(
                "Your history could not be updated. The app goes on as before.",
                true,
            ),
        })
    }
}

/// In Tauri: `app.emit(event, line)`. The window shows one bar per phase, and the `errors` of `finished`.
fn emit(event: &str, line: &str) {
    println!("{event}: {line}");
}

fn say(text: &str, may_start: bool) -> bool {
    println!("{text}");
    may_start
}
