use super::*;

fn form(code: &str) -> &'static FormOf {
    FORMS.iter().find(|form| form.code == code).unwrap()
}

fn now() -> Timestamp {
    "2026-03-03T14:05:00Z".parse().unwrap()
}

fn within() -> Within {
    Within { came: "2026-03-01T09:00:00Z".parse().unwrap(), now: now() }
}

/// The fields at which something is wrong.
fn fields(code: &str, typed: &[(&'static str, &str)]) -> Vec<&'static str> {
    form(code).faults(&Typed::made(typed), within()).iter().map(|fault| fault.field).collect()
}

#[test]
fn what_is_missing_or_wrong_is_told_at_its_field() {
    assert_eq!(fields("rejected", &[]), ["reason"]);
    assert_eq!(fields("rejected", &[("reason", "made up")]), ["reason"]);
    assert_eq!(fields("rejected", &[("reason", "No room")]), [""; 0]);
    assert_eq!(
        fields("completed", &[("outcome", "x"), ("before-happy", "11"), ("after-happy", "a")]),
        ["before-happy", "after-happy"]
    );
    assert_eq!(fields("schedule", &[("day", "31/2/2026")]), ["day"]);
    assert_eq!(fields("progress", &[]), ["activities"]);
    assert_eq!(fields("progress", &[("before-happy", "3")]), [""; 0]);
    assert_eq!(fields("on-hold", &[("reason", &"x".repeat(4_001))]), ["reason"]);
}

#[test]
fn a_decline_has_its_reason_and_nothing_else_changes() {
    let current = json!({"resourceType": "Task", "status": "received", "owner": {"display": "x"}});
    let typed = Typed::made(&[("reason", "No room"), ("more", "Try Mind")]);
    let task = applied(&current, "rejected", &typed, "Luke", now());
    assert_eq!(
        (task["status"].as_str(), task["statusReason"]["text"].as_str()),
        (Some("rejected"), Some("No room: Try Mind"))
    );
    assert_eq!(task["owner"], current["owner"]);
    assert!(task.get("note").is_none() && task.get("output").is_none());
}

#[test]
fn an_end_has_its_outcome_scores_and_activities() {
    let current = json!({"resourceType": "Task", "status": "in-progress", "statusReason": {"text": "waited"}, "output": [{"x": 1}]});
    let typed = Typed::made(&[
        ("outcome", "Joined a choir"),
        ("activities", "Choir\n\n Walking group "),
        ("before-happy", "2"),
        ("after-happy", "7"),
    ]);
    let task = applied(&current, "completed", &typed, "Luke", now());
    let outputs: Vec<String> = task["output"]
        .as_array()
        .unwrap()
        .iter()
        .skip(1)
        .map(|o| {
            format!(
                "{} = {}",
                o["type"]["text"].as_str().unwrap(),
                o.get("valueString").or(o.get("valueInteger")).unwrap()
            )
        })
        .collect();
    assert_eq!(
        outputs,
        [
            "Outcome = \"Joined a choir\"",
            "Activity attended = \"Choir\"",
            "Activity attended = \"Walking group\"",
            "ONS4 before: Happiness = 2",
            "ONS4 after: Happiness = 7",
        ]
    );
    assert!(task.get("statusReason").is_none(), "why it waited is over");
    assert_eq!(task["note"][0]["authorString"], "Luke");
}

#[test]
fn an_appointment_begins_the_work_but_wakes_nothing_that_is_on_hold() {
    let at = |status: &str| {
        let typed = Typed::made(&[("day", "9/3/2026")]);
        applied(&json!({"status": status, "statusReason": {"text": "ill"}}), "schedule", &typed, "Luke", now())
    };
    assert_eq!(
        (at("accepted")["status"].clone(), at("accepted")["executionPeriod"]["start"].clone()),
        ("in-progress".into(), "2026-03-09".into())
    );
    assert_eq!(
        (at("on-hold")["status"].clone(), at("on-hold")["statusReason"]["text"].clone()),
        ("on-hold".into(), "ill".into())
    );
}

#[test]
fn who_redirects_says_where_to_and_another_reason_has_words() {
    assert_eq!(fields("rejected", &[("reason", PLACED)]), ["where"]);
    assert_eq!(fields("rejected", &[("reason", OTHER)]), ["more"]);
    assert_eq!(fields("failed", &[("reason", OTHER)]), ["more"]);
    assert_eq!(fields("rejected", &[("reason", PLACED), ("where", "Mind Choir")]), [""; 0]);
    let typed = Typed::made(&[("reason", PLACED), ("where", "Mind Choir"), ("more", "She sings")]);
    let task = applied(&json!({"status": "received"}), "rejected", &typed, "Luke", now());
    assert_eq!(task["statusReason"]["text"], "Another service is better placed (Mind Choir): She sings");
}

/// It is 3 March, five past two, and the referral came on the first.
#[test]
fn a_contact_is_not_to_come_and_nothing_was_before_the_referral() {
    let contact = |day: &'static str, time: &'static str| {
        fields("contact", &[("way", "Letter"), ("result", "Sent"), ("day", day), ("time", time)])
    };
    for (day, time, expected) in [
        ("1/3/2026", "", &[][..]),
        ("28/2/2026", "", &["day"]),
        ("3/3/2026", "2:05pm", &[]),
        ("3/3/2026", "2:06pm", &["time"]),
        ("2/3/2026", "11:59pm", &[]),
        ("4/3/2026", "", &["day"]),
        ("", "", &["day"]),
        ("3/3/2026", "noon", &["time"]),
    ] {
        assert_eq!(contact(day, time), expected, "{day} {time}");
    }
    let told = form("contact").faults(&Typed::made(&[("day", "28/2/2026")]), within());
    assert!(
        told.iter()
            .any(|f| f.told == "The day of the contact must be 1 March 2026 or later: the referral came on that day")
    );
    for (day, expected) in [
        ("1/3/2026", &[][..]),
        ("28/2/2026", &["day"]),
        ("2/3/2028", &[]),
        ("3/3/2028", &["day"]),
        ("9/3/2126", &["day"]),
    ] {
        assert_eq!(fields("schedule", &[("day", day)]), expected, "{day}");
    }
}

#[test]
fn an_appointment_has_its_time_as_it_is_in_london() {
    let start = |day: &'static str, time: &'static str| {
        let typed = Typed::made(&[("day", day), ("time", time)]);
        applied(&json!({"status": "accepted"}), "schedule", &typed, "Luke", now())["executionPeriod"]["start"].clone()
    };
    assert_eq!(start("9/3/2026", "2:30pm"), "2026-03-09T14:30:00+00:00");
    assert_eq!(start("9/7/2026", "9am"), "2026-07-09T09:00:00+01:00");
}

#[test]
fn the_first_scores_are_those_of_the_task_else_those_that_came() {
    let came = json!({"resourceType": "QuestionnaireResponse", "item": [
        {"linkId": "happy", "answer": [{"valueInteger": 0}]}, {"linkId": "anxious", "answer": [{"valueInteger": 8}]}]});
    let task = json!({"output": [{"type": {"text": "ONS4 before: Happiness"}, "valueInteger": 4}]});
    let typed = Typed::before(form("completed"), &task, [&came].into_iter(), now());
    assert_eq!(
        (typed.text("before-happy"), typed.text("before-anxious"), typed.text("before-satisfied")),
        ("4", "8", "")
    );
    assert_eq!(Typed::before(form("contact"), &task, [&came].into_iter(), now()).text("day"), "3/3/2026");
}

#[test]
fn what_is_recorded_as_one_works_changes_no_status_and_is_corrected() {
    let current = json!({"status": "on-hold", "statusReason": {"text": "ill"}});
    let typed = Typed::made(&[("activities", "Choir"), ("before-happy", "2"), ("note", "Enjoys it")]);
    let task = applied(&current, "progress", &typed, "Luke", now());
    assert_eq!((task["status"].as_str(), task["statusReason"]["text"].as_str()), (Some("on-hold"), Some("ill")));
    assert_eq!(task["output"].as_array().unwrap().len(), 2, "{task}");
    let typed = Typed::made(&[("outcome", "Well"), ("before-happy", "3"), ("after-happy", "8")]);
    let ended = applied(&task, "completed", &typed, "Luke", now());
    let happy: Vec<&Value> = ended["output"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|o| o["type"]["text"].as_str().unwrap().contains("Happ"))
        .collect();
    assert_eq!((happy.len(), &happy[0]["valueInteger"]), (2, &json!(3)));
}

#[test]
fn a_second_appointment_leaves_a_trace_of_the_first() {
    let first =
        applied(&json!({"status": "accepted"}), "schedule", &Typed::made(&[("day", "9/3/2026")]), "Luke", now());
    assert!(first.get("note").is_none(), "there was none before");
    let form = form("schedule");
    assert_eq!(form.heading_for(&json!({})), "Book the first appointment");
    assert_eq!((form.heading_for(&first), form.known_of(&first).is_some()), ("Change the appointment", true));
    let before = Typed::before(form, &first, [].into_iter(), now());
    assert_eq!((before.text("day"), before.text("time")), ("9/3/2026", ""));
    let second = applied(&first, "schedule", &Typed::made(&[("day", "9/7/2026"), ("time", "9am")]), "Nora", now());
    assert_eq!(second["executionPeriod"]["start"], "2026-07-09T09:00:00+01:00");
    let note = &second["note"][0];
    assert_eq!(
        (note["text"].as_str(), note["authorString"].as_str()),
        (Some("The appointment of 9 March 2026 was changed to 9 July 2026, 9am."), Some("Nora"))
    );
    let before = Typed::before(form, &second, [].into_iter(), now());
    assert_eq!((before.text("day"), before.text("time")), ("9/7/2026", "9am"));
    let same = applied(&second, "schedule", &Typed::made(&[("day", "9/7/2026"), ("time", "9am")]), "Nora", now());
    assert_eq!(same["note"].as_array().map(Vec::len), Some(1), "the same again changes nothing");
}

/// A score that somebody empties stays empty, though another came with the referral.
#[test]
fn a_score_that_was_taken_away_is_not_filled_again() {
    let came = json!({"resourceType": "QuestionnaireResponse", "item": [{"linkId": "happy", "answer": [{"valueInteger": 3}]}]});
    let shown = |task: &Value| Typed::before(form("progress"), task, [&came].into_iter(), now());
    let before = shown(&json!({}));
    assert_eq!((before.text("before-happy"), before.text(FILLED)), ("3", "before-happy"));
    let emptied = Typed::made(&[("before-happy", ""), (FILLED, "before-happy")]);
    assert_eq!(form("progress").faults(&emptied, within()), [], "to take it away is something");
    let task = applied(&json!({"status": "accepted"}), "progress", &emptied, "Luke", now());
    assert_eq!(task["output"][0]["_valueInteger"]["extension"][0]["valueCode"], "unknown", "{task}");
    assert_eq!(shown(&task).text("before-happy"), "");
    let again = applied(&task, "progress", &Typed::made(&[("before-happy", "5")]), "Luke", now());
    assert_eq!((again["output"].as_array().map(Vec::len), &again["output"][0]["valueInteger"]), (Some(1), &json!(5)));
}
