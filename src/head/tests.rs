//! Heads that have one reading, and those that have none or two.

use super::*;

fn read(target: &str, hosts: &[&str]) -> Result<(String, String), Malformed> {
    let (mut request, ()) = http::Request::new(()).into_parts();
    for host in hosts {
        request.headers.append(HOST, host.parse().unwrap());
    }
    let head = Head::read(
        &request,
        target.as_bytes(),
        &Format::new("kf", "live").unwrap(),
    )?;
    Ok((head.authority.clone(), head.path.to_owned()))
}

#[test]
fn an_authority_is_lower_case_and_without_a_default_port() {
    let authority = |host| read("/", &[host]).unwrap().0;
    assert_eq!(authority("API.Example.com:443"), "api.example.com");
    assert_eq!(authority("api.example.com:8443"), "api.example.com:8443");
    assert_eq!(authority("[::1]:443"), "[::1]");
}

#[test]
fn r13_two_hosts_or_none_are_refused() {
    assert_eq!(read("/", &["a", "b"]), Err(Malformed::TwoHosts));
    assert_eq!(read("/", &["a", "a"]), Err(Malformed::TwoHosts));
    assert_eq!(read("http://b/", &["a"]), Err(Malformed::TwoHosts));
    for bad in [&[][..], &[""], &["u@a"], &["a b"]] {
        assert_eq!(read("/", bad), Err(Malformed::Host), "{bad:?}");
    }
}

#[test]
fn h9_an_absolute_target_is_read_as_its_path() {
    assert_eq!(read("https://a/x", &["A"]), Ok(("a".into(), "/x".into())));
    assert_eq!(read("ftp://a/x", &["a"]), Err(Malformed::Target));
}

#[test]
fn h9_dot_segments_are_refused_in_every_disguise() {
    for path in [
        "/a/../b",
        "/a/./b",
        "/..",
        "/a/%2e%2e/b",
        "/a/%2E./b",
        "/a/..%2fb",
        "/a\\..\\b",
        "/a/..;x/b",
        "/a/%252e%252e/b",
        "/a/%25252e./b",
    ] {
        assert_eq!(read(path, &["a"]), Err(Malformed::DotSegment), "{path}");
    }
    assert!(read("/a/...b/..c", &["a"]).is_ok());
}

#[test]
fn h9_a_path_that_some_backends_would_cut_off_is_refused() {
    for path in ["/a%00", "/a%00/b", "/a%0ab", "/a%7F"] {
        assert_eq!(
            read(path, &["a"]),
            Err(Malformed::ControlCharacter),
            "{path}"
        );
    }
    assert!(read("/a%20b?c=%00", &["a"]).is_ok());
}

#[test]
fn h6_a_key_in_the_url_is_refused_also_when_encoded() {
    let key = "kf_live_0197f3c2a1b27c3d8e4f5a6b7c8d9e0f_x";
    for target in [
        format!("/a?api_key={key}"),
        format!("/{key}"),
        format!("/?k={}", key.replace('_', "%5f")),
    ] {
        assert_eq!(read(&target, &["a"]), Err(Malformed::KeyInUrl), "{target}");
        let twice = target.replace('_', "%5F").replace('%', "%25");
        assert_eq!(read(&twice, &["a"]), Err(Malformed::KeyInUrl), "{twice}");
    }
}

#[test]
fn the_canonical_path_is_what_the_freest_backend_reads() {
    for (path, reading) in [
        ("//a//b/", "/a/b/"),
        ("/a;v=1/b", "/a/b"),
        ("/%61dmin", "/admin"),
        ("/a%2fb", "/a/b"),
        ("//", "/"),
    ] {
        assert_eq!(canonical(path), reading, "{path}");
    }
}
