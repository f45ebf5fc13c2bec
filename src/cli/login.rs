//! Who runs a command.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::MetadataExt;

/// Who runs the command: the person behind `sudo`, else the user, else the number of the user.
pub(super) fn login_name() -> String {
    let user = fs::metadata("/proc/self").map(|own| own.uid()).ok();
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    named(user, variable("SUDO_USER"), variable("USER"))
}

/// Anybody can set `SUDO_USER`, so it counts only for root, who could do anything else as well.
fn named(user: Option<u32>, sudo_user: Option<OsString>, name: Option<OsString>) -> String {
    let is_name = |name: &String| {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        (1..=32).contains(&name.len()) && name.chars().all(is_plain)
    };
    let name = sudo_user.filter(|_| user == Some(0)).or(name);
    name.and_then(|name| name.into_string().ok())
        .filter(is_name)
        .or_else(|| user.map(|user| format!("uid {user}")))
        .unwrap_or_else(|| "unknown".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_root_acts_for_somebody_else_and_only_under_a_plain_name() {
        let by = |user, sudo_user: &str, name: &str| {
            let given = |value: &str| Some(OsString::from(value)).filter(|value| !value.is_empty());
            named(Some(user), given(sudo_user), given(name))
        };
        assert_eq!(by(0, "alice", "root"), "alice");
        assert_eq!(by(0, "", "root"), "root");
        assert_eq!(by(1000, "alice", "bob"), "bob");
        assert_eq!(by(1000, "alice", ""), "uid 1000");
        for bad in ["a b", "a\nb", "\u{1b}[31m", "ä", &"x".repeat(33)] {
            assert_eq!(by(0, bad, "root"), "uid 0", "{bad}");
            assert_eq!(by(1000, "", bad), "uid 1000", "{bad}");
        }
        assert_eq!(by(1000, "", &"x".repeat(32)), "x".repeat(32));
    }
}
