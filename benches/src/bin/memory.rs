//! How much memory the instrument master takes: the registry, and the plain baseline.
//! Each is loaded in a process of its own, from CSV that is in memory already.

use std::env;
use std::error::Error;
use std::hint::black_box;
use std::process::Command;

use strikewire_benches::baseline;
use strikewire_benches::master::Master;

fn main() -> Result<(), Box<dyn Error>> {
    match env::args().nth(1).as_deref() {
        None => {
            for what in ["registry", "plain"] {
                let status = Command::new(env::current_exe()?).arg(what).status()?;
                if !status.success() {
                    return Err(format!("{what}: {status}").into());
                }
            }
            Ok(())
        }
        Some("registry") => {
            let master = Master::full()?;
            let before = Memory::now()?;
            let registry = master.registry()?;
            before.report("registry")?;
            println!(
                "registry: {} instruments, {:.1} MiB on the heap by its own count",
                registry.len(),
                mib(registry.heap_bytes() as u64 / 1024)
            );
            Ok(())
        }
        Some("plain") => {
            let master = Master::full()?;
            let before = Memory::now()?;
            let rows = baseline::registry::load(&master.csv)?;
            before.report("plain")?;
            println!("plain: {} rows", black_box(&rows).by_key.len());
            Ok(())
        }
        Some(other) => Err(format!("{other}: expected registry, plain or nothing").into()),
    }
}

/// Resident memory in KiB.
struct Memory {
    resident: u64,
    peak: u64,
}

impl Memory {
    fn now() -> Result<Self, Box<dyn Error>> {
        let status = std::fs::read_to_string("/proc/self/status")
            .map_err(|error| format!("/proc/self/status: {error}; this needs Linux"))?;
        let field = |name: &str| {
            status
                .lines()
                .find_map(|line| line.strip_prefix(name)?.trim().strip_suffix(" kB"))
                .and_then(|kib| kib.trim().parse().ok())
                .ok_or_else(|| format!("/proc/self/status has no {name}"))
        };
        Ok(Self {
            resident: field("VmRSS:")?,
            peak: field("VmHWM:")?,
        })
    }

    fn report(&self, what: &str) -> Result<(), Box<dyn Error>> {
        let after = Self::now()?;
        let added = |kib: u64| mib(kib.saturating_sub(self.resident));
        println!(
            "{what}: {:.1} MiB resident more than before, {:.1} MiB at the peak (before: {:.1}, \
             peak {:.1})",
            added(after.resident),
            added(after.peak),
            mib(self.resident),
            mib(self.peak),
        );
        Ok(())
    }
}

fn mib(kib: u64) -> f64 {
    kib as f64 / 1024.0
}
