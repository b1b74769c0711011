//! The directory as open data, as `/openapi.json` tells it.

use serde_json::{Map, Value, json};

use super::answer::plain;
use crate::http::open_referral::LISTS;

/// Its paths.
pub(super) fn paths() -> Map<String, Value> {
    let about = operation("openReferral", "What the open directory is: Open Referral UK 3.0", Vec::new());
    let mut paths = Map::from_iter([("/open-referral".to_owned(), json!({"get": about}))]);
    for (name, list) in LISTS {
        let parameters = list.parameters().iter().map(|name| parameter(name)).collect();
        let listed = operation(&format!("openReferral-{name}"), &format!("A page of {name}"), parameters);
        paths.insert(format!("/open-referral/{name}"), json!({"get": listed}));
        let id = json!({"name": "id", "in": "path", "required": true, "schema": {"type": "string"}});
        let one = operation(&format!("openReferral-one-of-{name}"), &format!("One of {name}, whole"), vec![id]);
        paths.insert(format!("/open-referral/{name}/{{id}}"), json!({"get": one}));
    }
    paths
}

fn operation(id: &str, summary: &str, parameters: Vec<Value>) -> Value {
    let schema = json!({"type": "object"});
    let says = |told: &str| plain(told, "application/json", &schema);
    json!({
        "operationId": id,
        "tags": ["open-referral"],
        "summary": summary,
        "parameters": parameters,
        "security": [],
        "responses": {
            "200": says("What was asked for, as Open Referral UK describes it."),
            "400": says("A parameter is not understood."),
            "404": says("It is not there, or the configuration does not open the directory."),
            "429": says("Too much is asked from this address."),
            "503": says("Too much is read at present."),
        },
    })
}

fn parameter(name: &str) -> Value {
    let (told, schema) = match name {
        "page" => ("Which page, from 1.", json!({"type": "integer", "minimum": 1})),
        "per_page" => ("So many on a page.", json!({"type": "integer", "minimum": 1})),
        "minimum_age" | "maximum_age" => ("An age in years.", json!({"type": "number", "minimum": 0})),
        "start_time" | "end_time" => ("A time such as 09:30.", json!({"type": "string"})),
        "day" => ("A day such as MO or Monday.", json!({"type": "string"})),
        "proximity" => ("A distance in metres from the postcode.", json!({"type": "number", "minimum": 0})),
        "postcode" => ("A postcode, or its first half; the nearest first.", json!({"type": "string"})),
        "search" => ("Words that all stand in it.", json!({"type": "string"})),
        _ => ("The id of one that it is told by.", json!({"type": "string"})),
    };
    json!({"name": name, "in": "query", "description": told, "schema": schema})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directory::open_referral::catalogue::List;

    #[test]
    fn each_list_is_told_with_what_it_understands() {
        let paths = paths();
        for (name, list) in LISTS {
            let told = paths[&format!("/open-referral/{name}")]["get"]["parameters"].as_array().unwrap();
            let names: Vec<_> = told.iter().map(|one| one["name"].as_str().unwrap()).collect();
            assert_eq!(names, list.parameters());
            assert!(paths.contains_key(&format!("/open-referral/{name}/{{id}}")));
        }
        assert!(List::AtLocations.parameters().contains(&"proximity"));
        assert!(!List::Services.parameters().contains(&"postcode"));
    }
}
