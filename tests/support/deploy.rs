//! Changes the files of a running gateway: one by one, as an editor does, or all at once behind a
//! link, as Kubernetes does.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use toml::Table;

use super::gateway::Gateway;

/// The link that leads to the files as they are now.
const NOW: &str = "..data";
/// What every gateway reads.
const CONFIG: &str = "keyferry.toml";

/// Puts the files of `folder` behind a link, as in a volume of Kubernetes.
pub(crate) fn mount(folder: &Path) {
    fs::create_dir(folder.join("..0")).expect("our own folder");
    for entry in fs::read_dir(folder).expect("our own folder") {
        let entry = entry.expect("an entry");
        let name = entry.file_name();
        if entry.file_type().expect("a type").is_file() {
            fs::rename(entry.path(), folder.join("..0").join(&name)).expect("our own file");
            symlink(Path::new(NOW).join(&name), folder.join(&name)).expect("a link");
        }
    }
    symlink("..0", folder.join(NOW)).expect("a link");
}

impl Gateway {
    /// Edits its configuration, and puts these files beside it.
    pub(crate) fn deploy(&self, edit: impl FnOnce(&mut Table), files: &[(&str, &str)]) {
        let folder = self.folder();
        let config = fs::read_to_string(folder.join(CONFIG)).expect("its configuration");
        let mut config: Table = config.parse().expect("a configuration");
        edit(&mut config);
        let config = config.to_string();
        let files = files.iter().copied().chain([(CONFIG, config.as_str())]);
        if !folder.join(NOW).exists() {
            for (name, contents) in files {
                self.put(name, contents);
            }
            return;
        }
        let before = fs::read_link(folder.join(NOW)).expect("a link");
        let next = format!("..{}", uuid::Uuid::now_v7());
        fs::create_dir(folder.join(&next)).expect("our own folder");
        for entry in fs::read_dir(folder.join(&before)).expect("our own folder") {
            let entry = entry.expect("an entry");
            let copy = folder.join(&next).join(entry.file_name());
            fs::copy(entry.path(), copy).expect("a copy");
        }
        for (name, contents) in files {
            write(&folder.join(&next).join(name), contents);
            let _there_already = symlink(Path::new(NOW).join(name), folder.join(name));
        }
        symlink(&next, folder.join("..data_tmp")).expect("a link");
        fs::rename(folder.join("..data_tmp"), folder.join(NOW)).expect("our own link");
        fs::remove_dir_all(folder.join(before)).expect("our own folder");
    }

    /// Puts one file in place of the one of that name.
    pub(crate) fn put(&self, name: &str, contents: &(impl AsRef<[u8]> + ?Sized)) {
        write(&self.folder().join("new"), contents);
        fs::rename(self.folder().join("new"), self.folder().join(name)).expect("our own file");
    }

    /// What stands in a file of its folder.
    pub(crate) fn contents(&self, name: &str) -> String {
        fs::read_to_string(self.folder().join(name)).expect("a file")
    }

    /// Takes one file away.
    pub(crate) fn remove(&self, name: &str) {
        fs::remove_file(self.folder().join(name)).expect("our own file");
    }
}

/// For the owner's eyes only, as secrets have to be.
fn write(path: &Path, contents: &(impl AsRef<[u8]> + ?Sized)) {
    fs::write(path, contents).expect("a file in our own folder");
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("our own file");
}
