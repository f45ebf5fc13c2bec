//! The frame around every page.

use maud::{DOCTYPE, Markup, html};

use super::session::{Notice, Seat};
use crate::operation::Role;
pub(super) use crate::operation::table::count as number;
pub(super) use crate::operation::table::number as number_of;
use crate::operation::table::printable;

/// The pages, in the order of the menu: path, name.
const MENU: [(&str, &str); 9] = [
    ("/", "Overview"),
    ("/clients", "Clients"),
    ("/failures", "Failures"),
    ("/expiring", "Expiring"),
    ("/phases", "Phases"),
    ("/audit", "Audit"),
    ("/health", "Health"),
    ("/doctor", "Doctor"),
    ("/try", "Try it"),
];

/// A page called `title` at `path`, for `seat`.
pub(super) fn page(
    (title, path): (&str, &str),
    seat: &Seat,
    notice: Option<&Notice>,
    content: &Markup,
) -> Markup {
    document(
        title,
        &html! {
            header.top {
                a.brand href="/" { "Keyferry" }
                nav aria-label="Pages" {
                    ul {
                        @for (to, name) in MENU {
                            li { a href=(to) aria-current=[is_current(to, path).then_some("page")] { (name) } }
                        }
                    }
                }
                form.out method="post" action="/logout" {
                    input type="hidden" name="csrf" value=(seat.csrf);
                    span.who title=(role(seat.who.role)) { (seat.who.name) }
                    button.plain type="submit" { "Log out" }
                }
            }
            main #main tabindex="-1" {
                h1 { (title) }
                @if let Some(notice) = notice { (noticed(notice, seat)) }
                (content)
            }
        },
    )
}

/// What came of the last action, and how it is taken back.
fn noticed(notice: &Notice, seat: &Seat) -> Markup {
    html! {
        div.notice role="status" {
            pre { (lines(&notice.text)) }
            @if let Some((operation, parameters)) = &notice.undo {
                form method="post" action={ "/do/" (operation) } {
                    (hidden(seat))
                    @for (name, value) in parameters {
                        input type="hidden" name=(name) value=(value);
                    }
                    button type="submit" { "Undo" }
                }
            }
        }
    }
}

/// What every form carries that changes something: that it is the session's own, and that it is sent once.
pub(super) fn hidden(seat: &Seat) -> Markup {
    // Without randomness, no form is taken, and none is taken twice.
    let once = super::session::chance().unwrap_or_default();
    html! {
        input type="hidden" name="csrf" value=(seat.csrf);
        input type="hidden" name="once" value=(once);
    }
}

/// The page where a token is shown; `wrong` says what was wrong with the last one.
pub(super) fn login(next: &str, wrong: Option<&str>) -> Markup {
    document(
        "Log in",
        &html! {
            main.login #main tabindex="-1" {
                h1 { "Keyferry" }
                @if let Some(wrong) = wrong { p.wrong role="alert" #wrong { (wrong) } }
                form method="post" action="/login" {
                    input type="hidden" name="next" value=(next);
                    label for="token" { "Token" }
                    input #token name="token" type="password" autocomplete="current-password"
                        required autofocus aria-describedby="how";
                    button type="submit" { "Log in" }
                    p.hint #how {
                        "Whoever runs the gateway makes one: " code { "keyferry token NAME --role viewer" }
                    }
                }
            }
        },
    )
}

fn document(title: &str, body: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) " – Keyferry" }
                link rel="icon" href="data:,";
                link rel="stylesheet" href="/console.css";
                script src="/console.js" defer {}
            }
            body {
                a.skip href="#main" { "Skip to the content" }
                (body)
            }
        }
    }
}

fn is_current(menu: &str, path: &str) -> bool {
    path == menu || (menu != "/" && path.starts_with(menu))
}

/// What a role may do, in words.
pub(super) const fn role(role: Role) -> &'static str {
    match role {
        Role::Viewer => "may look",
        Role::Operator => "may change clients, certificates and keys",
        Role::Admin => "may do everything",
    }
}

/// A time as people read it, and exactly to machines and on demand. Scripts make it local.
pub(super) fn time(at: &str) -> Markup {
    html! { time datetime=(at) title=(at) { (at.replace('T', " ").trim_end_matches('Z')) } }
}

/// The same, or `otherwise`.
pub(super) fn time_or(at: Option<&str>, otherwise: &str) -> Markup {
    at.map_or_else(|| html! { span.none { (otherwise) } }, time)
}

/// The lines of a text, as far as it is sane, with nothing in them that deceives.
pub(super) fn lines(text: &str) -> String {
    let lines = text.lines().take(1_000);
    let lines = lines.map(|line| printable(&line.chars().take(500).collect::<String>()));
    lines.collect::<Vec<_>>().join("\n")
}

/// At most `most` characters of what may be hostile, which a title shows whole as far as it is sane.
pub(super) fn clipped(text: &str, most: usize) -> Markup {
    let cut: String = text.chars().take(most).collect();
    let is_cut = cut.len() < text.len();
    let whole: String = text.chars().take(2_000).collect();
    html! {
        bdi title=[is_cut.then_some(whole)] { (printable(&cut)) @if is_cut { "…" } }
    }
}
