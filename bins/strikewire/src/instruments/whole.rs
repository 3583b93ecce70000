//! Files that are written whole or not at all.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use flate2::Compression;
use flate2::write::GzEncoder;

const BUFFER: usize = 128 * 1024;

/// Has `make` write what is to be at `path`, compressed when its name ends in `.gz`. A
/// reader never sees half of it, and what was there stays until the whole is.
pub(super) fn write<T>(
    path: &Path,
    make: impl FnOnce(&mut dyn Write) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let context = || format!("cannot write {}", path.display());
    // A device or a pipe is written to, not replaced by a file.
    let is_special = fs::metadata(path).is_ok_and(|there| !there.is_file() && !there.is_dir());
    if is_special {
        let file = File::options()
            .write(true)
            .open(path)
            .with_context(context)?;
        return fill(file, ends_in_gz(path), make).map(|(_, made)| made);
    }
    let (folder, name) = place(path)?;
    let mut hidden = OsString::from(format!(".{}-", std::process::id()));
    hidden.push(name);
    let temporary = folder.join(hidden);
    let written = File::create(&temporary)
        .with_context(context)
        .and_then(|file| fill(file, ends_in_gz(path), make))
        .and_then(|(file, made)| {
            file.sync_all().with_context(context)?;
            fs::rename(&temporary, path).with_context(context)?;
            Ok(made)
        });
    if written.is_err() {
        // There may be none, and the first error is the one to be told.
        let _ = fs::remove_file(&temporary);
    }
    written
}

fn fill<T>(
    file: File,
    compressed: bool,
    make: impl FnOnce(&mut dyn Write) -> anyhow::Result<T>,
) -> anyhow::Result<(File, T)> {
    let mut out = BufWriter::with_capacity(BUFFER, file);
    let made = if compressed {
        let mut gz = GzEncoder::new(&mut out, Compression::fast());
        let made = make(&mut gz)?;
        gz.finish().context("cannot compress")?;
        made
    } else {
        make(&mut out)?
    };
    let file = out.into_inner().context("cannot write")?;
    Ok((file, made))
}

pub(super) fn ends_in_gz(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "gz")
}

/// The folder of a file and the file's name, where a file could be.
pub(super) fn place(path: &Path) -> anyhow::Result<(PathBuf, &OsStr)> {
    let Some(name) = path.file_name() else {
        bail!("cannot write {}: it has no file name", path.display());
    };
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    ensure!(
        folder.is_dir(),
        "cannot write {}: {} is not a folder",
        path.display(),
        folder.display()
    );
    ensure!(
        !path.is_dir(),
        "cannot write {}: it is a folder",
        path.display()
    );
    Ok((folder.to_owned(), name))
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn what_fails_leaves_what_was_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.csv");
        fs::write(&path, "old").unwrap();
        let failed = write(&path, |out| {
            out.write_all(b"new")?;
            anyhow::bail!("enough") as anyhow::Result<()>
        });
        assert_eq!(failed.unwrap_err().to_string(), "enough");
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");
        write(&path, |out| Ok(out.write_all(b"new")?)).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn the_name_says_whether_it_is_compressed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.csv.gz");
        write(&path, |out| Ok(out.write_all(b"text")?)).unwrap();
        let mut text = String::new();
        flate2::read::GzDecoder::new(File::open(&path).unwrap())
            .read_to_string(&mut text)
            .unwrap();
        assert_eq!(text, "text");
    }

    #[test]
    fn places_that_are_none_are_named() {
        let folder = tempfile::tempdir().unwrap();
        for (path, named) in [
            (folder.path().join("none").join("a.csv"), "not a folder"),
            (folder.path().to_owned(), "a folder"),
            (PathBuf::from("/"), "no file name"),
        ] {
            let error = format!("{:#}", write(&path, |_| Ok(())).unwrap_err());
            assert!(error.contains(named), "{error}");
        }
    }
}
