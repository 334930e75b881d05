//! Signs of life that a server leaves in files, for whoever started it.

use midge_conf::Settings;
use midge_server::Server;
use std::fs;
use std::io;
use std::path::PathBuf;

/// Files that are there while the server is. They go with this.
#[derive(Debug, Default)]
pub(crate) struct Signs {
    files: Vec<PathBuf>,
}

impl Signs {
    /// Writes what the settings ask for: the process id, the addresses.
    pub(crate) fn leave(settings: &Wanted, server: &Server) -> Result<Signs, String> {
        let mut signs = Signs::default();
        let pid = std::process::id();
        if let Some(path) = &settings.pid_file {
            signs.write(path.clone(), &pid.to_string())?;
        }
        if let Some(folder) = &settings.ports_file_dir {
            let path = folder.join(format!("nats-server_{pid}.ports"));
            signs.write(path, &ports(server))?;
        }
        Ok(signs)
    }

    /// Whoever waits for the file is to find it whole.
    fn write(&mut self, path: PathBuf, text: &str) -> Result<(), String> {
        let partial = path.with_extension("partial");
        let written = fs::write(&partial, text).and_then(|()| fs::rename(&partial, &path));
        written.map_err(|error: io::Error| format!("cannot write {}: {error}", path.display()))?;
        self.files.push(path);
        Ok(())
    }
}

impl Drop for Signs {
    fn drop(&mut self) {
        for file in &self.files {
            // Somebody else may have removed it.
            let _ = fs::remove_file(file);
        }
    }
}

/// Which signs are wanted.
#[derive(Debug)]
pub(crate) struct Wanted {
    pid_file: Option<PathBuf>,
    ports_file_dir: Option<PathBuf>,
}

impl Wanted {
    pub(crate) fn take(settings: &mut Settings) -> Wanted {
        Wanted {
            pid_file: settings.pid_file.take(),
            ports_file_dir: settings.ports_file_dir.take(),
        }
    }
}

/// The addresses as JSON: lists of URLs by what is spoken there.
fn ports(server: &Server) -> String {
    let (scheme, clients) = (server.client_scheme(), server.client_address());
    let mut text = format!("{{\"nats\":[\"{scheme}://{clients}\"]");
    if let Some(http) = server.http_address() {
        let scheme = server.http_scheme();
        text.push_str(&format!(",\"monitoring\":[\"{scheme}://{http}\"]"));
    }
    text.push('}');
    text
}
