//! The dashboards, as far as they ask Prometheus.

use serde_json::Value;

use super::files::{GRAFANA, in_folder};

/// What a variable of Grafana stands for here: everything.
const EVERYTHING: &str = ".*";

/// One question of a panel.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    pub(crate) dashboard: String,
    pub(crate) panel: String,
    /// By which the answer is found again.
    pub(crate) name: String,
    pub(crate) query: String,
    pub(crate) instant: bool,
}

pub(crate) fn dashboards() -> Vec<Value> {
    let files = in_folder(GRAFANA, ".json").into_iter();
    let read = files.map(|(name, text)| {
        let dashboard: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(
            dashboard["uid"],
            name.as_str(),
            "a dashboard's file has its uid's name"
        );
        dashboard
    });
    read.collect()
}

/// All panels that show something.
pub(crate) fn panels(dashboard: &Value) -> impl Iterator<Item = &Value> {
    let panels = dashboard["panels"].as_array().expect("panels").iter();
    panels.filter(|panel| panel["type"] != "row")
}

pub(crate) fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name]
        .as_str()
        .unwrap_or_else(|| panic!("no {name} in {value:#}"))
}

/// Every question of every dashboard, asked of everything over `rate_interval`.
pub(crate) fn questions(rate_interval: &str) -> Vec<Question> {
    let mut all = Vec::new();
    for dashboard in dashboards() {
        for panel in panels(&dashboard) {
            for target in panel["targets"].as_array().expect("targets") {
                let mut query = text(target, "expr").to_owned();
                for variable in ["$namespace", "$job", "$route"] {
                    query = query.replace(variable, EVERYTHING);
                }
                query = query.replace("$__rate_interval", rate_interval);
                assert!(
                    !query.contains('$'),
                    "a variable that is not known: {query}"
                );
                all.push(Question {
                    dashboard: text(&dashboard, "uid").to_owned(),
                    panel: text(panel, "title").to_owned(),
                    name: format!(
                        "{}/{}/{}",
                        text(&dashboard, "uid"),
                        panel["id"],
                        text(target, "refId")
                    ),
                    query,
                    instant: target["instant"] == true,
                });
            }
        }
    }
    all
}
