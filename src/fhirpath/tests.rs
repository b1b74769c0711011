use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::definitions;

fn now() -> Timestamp {
    "2026-11-22T12:34:56.789Z".parse().unwrap()
}

/// What an expression yields, each item as text.
#[track_caller]
fn on(resource: &Value, text: &str) -> Result<Vec<String>, EvalError> {
    let expression = parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    let context = Context::new(resource, now());
    let found = expression.evaluate(context.resource, &context)?;
    Ok(found.iter().map(ToString::to_string).collect())
}

#[track_caller]
fn is(resource: &Value, text: &str, due: &[&str]) {
    assert_eq!(
        on(resource, text).as_deref(),
        Ok(&due.iter().map(|due| (*due).to_owned()).collect::<Vec<_>>()[..]),
        "{text}"
    );
}

fn request() -> Value {
    json!({
        "resourceType": "ServiceRequest",
        "id": "1",
        "contained": [{"resourceType": "Patient", "id": "p", "birthDate": "1984-02", "active": true}],
        "status": "active",
        "intent": "order",
        "_priority": {"extension": [{"url": "urn:why", "valueCode": "unknown"}]},
        "subject": {"reference": "#p"},
        "requester": {"reference": "PractitionerRole/7", "display": "Dr Ho"},
        "occurrencePeriod": {"start": "2026-11-01T09:00:00Z", "end": "2026-12-01"},
        "quantityQuantity": {"value": serde_json::from_str::<Value>("2.50").unwrap(), "unit": "hours", "system": "http://unitsofmeasure.org", "code": "h"},
        "category": [
            {"coding": [{"system": "urn:a", "code": "1"}, {"system": "urn:b", "code": "2"}]},
            {"coding": [{"system": "urn:a", "code": "3"}], "text": "Three"}
        ],
        "note": [{"text": "first", "_text": {"id": "n1"}}, {"text": "second", "time": "2026-11-02T10:00:00+00:00"}]
    })
}

#[test]
fn paths_choices_and_what_is_said_about_primitives() {
    let it = request();
    is(&it, "ServiceRequest.category.coding.code", &["1", "2", "3"]);
    is(&it, "Resource.id | DomainResource.id", &["1"]);
    is(&it, "Patient.id", &[]);
    is(&it, "category.coding.where(system = 'urn:a').code", &["1", "3"]);
    is(&it, "occurrence is Period", &["true"]);
    is(&it, "(occurrence as Period).start < now()", &["true"]);
    is(&it, "occurrence.ofType(dateTime)", &[]);
    is(&it, "occurrencePeriod", &[]);
    is(&it, "priority.exists() and priority.hasValue().not()", &["true"]);
    is(&it, "priority.extension('urn:why').value", &["unknown"]);
    is(&it, "priority.extension.exists()", &["true"]);
    is(&it, "note.text.id", &["n1"]);
    is(&it, "note.text.select($index.toString() & ':' & $this)", &["0:first", "1:second"]);
    is(&it, "quantity.value.toString()", &["2.50"]);
    is(&it, "quantity = 150 'min' and quantity > 2 hours", &["true"]);
    is(&it, "contained.birthDate is date", &["true"]);
    is(&it, "contained.birthDate < @1984-03", &["true"]);
    is(&it, "contained.birthDate < @1984-02-10", &[]);
    is(&it, "descendants().where($this is Coding).count()", &["3"]);
    is(&it, "children().count()", &["13"]);
    is(&it, "category.select(%context.id & %resource.id & %rootResource.id)", &["111", "111"]);
    let patient = json!({"resourceType": "Patient", "multipleBirthInteger": 2});
    is(&patient, "multipleBirth.combine(multiple)", &["2"]);
}

#[test]
fn equals_are_one_and_zones_that_are_not_told_may_be_any() {
    let it = json!({});
    is(&it, "(1 | 1 | 1.0 | 2 | 'a' | 'a').count()", &["3"]);
    is(&it, "(1 | 2).exclude(1.0) | (1 | 2).intersect(2.0)", &["2"]);
    is(&it, "@2012-04-15T15:00:00Z = @2012-04-15T10:00:00", &[]);
    is(&it, "@2012-04-15T15:00:00Z < @2012-04-16T10:00:00", &["true"]);
    is(&it, "@2012-04-15T15:00:00Z < @2012-04-15T20:00:00", &[]);
    is(&it, "@2012-04-15T15:00:00Z > @2012-04-13", &["true"]);
    // a day is one of where the other is
    is(&it, "@2012-04-14 < @2012-04-15T00:30:00+01:00", &["true"]);
    is(&it, "@2012-04-15 <= @2012-04-15T00:30:00+01:00", &[]);
    is(&it, "@2012-04 < @2012-05-01T00:30:00+01:00", &["true"]);
}

#[test]
fn references_are_followed_as_far_as_they_lead() {
    let it = request();
    is(&it, "subject.resolve().birthDate", &["1984-02"]);
    is(&it, "subject.resolve() is Patient", &["true"]);
    // it lies elsewhere, and yet what it is stands in the reference
    is(&it, "requester.resolve() is PractitionerRole", &["true"]);
    is(&it, "requester.resolve().code", &[]);
    is(&it, "requester.where(resolve() is Practitioner)", &[]);
    let bundle = json!({"resourceType": "Bundle", "entry": [
        {"fullUrl": "https://ehr.example/PractitionerRole/7", "resource": {"resourceType": "PractitionerRole", "id": "7", "active": true}},
        {"fullUrl": "urn:uuid:c757873d-ec9a-4326-a141-556f43239520", "resource": {"resourceType": "Patient", "gender": "other"}}]});
    let expression = parse(
        "requester.resolve().active and 'urn:uuid:c757873d-ec9a-4326-a141-556f43239520'.resolve().gender = 'other'",
    )
    .unwrap();
    let context = Context { bundle: Some(&bundle), ..Context::new(&it, now()) };
    assert_eq!(expression.truth(context.resource, &context), Ok(Some(true)));
}

#[test]
fn rules_of_r4() {
    let rule = |name: &str, key: &str| {
        let rules = definitions::type_named(name).unwrap().invariants;
        parse(rules.iter().find(|rule| rule.key == key).unwrap().expression).unwrap()
    };
    let holds = |rule: &Expression, resource: &Value| {
        let context = Context::new(resource, now());
        rule.holds(context.resource, &context).unwrap()
    };
    let dom_3 = rule("DomainResource", "dom-3");
    assert!(holds(&dom_3, &request()));
    let mut unused = request();
    unused["subject"]["reference"] = "Patient/1".into();
    assert!(!holds(&dom_3, &unused));
    let of = definitions::type_named("Period").unwrap();
    let (per_1, it) = (rule("Period", "per-1"), request());
    let context = Context::new(&it, now());
    for (period, due) in [
        (json!({"start": "2026-11-01", "end": "2026-12"}), true),
        (json!({"start": "2026-11-01", "end": "2026-10-31"}), false),
        // neither is before the other
        (json!({"start": "2026-11-01", "end": "2026-11"}), true),
        (json!({"start": "2026-11-01"}), true),
    ] {
        assert_eq!(per_1.holds(Node::element(&period, of), &context), Ok(due), "{period}");
    }
}

#[test]
fn an_error_is_no_answer() {
    let it = request();
    for (text, due) in [
        ("true and category.coding", EvalError::NotSingle { what: "and" }),
        ("id + 1", EvalError::WrongType { what: "+" }),
        ("id < 1", EvalError::WrongType { what: "<" }),
        ("category.single()", EvalError::NotSingle { what: "single" }),
        ("category.first().upper()", EvalError::WrongType { what: "upper" }),
        ("%unheard", EvalError::UnknownVariable),
        ("id.matches('[' & '')", EvalError::Pattern),
        ("code.memberOf('urn:vs') or status.memberOf('urn:vs')", EvalError::NotHere { what: "memberOf" }),
        ("repeat($this & 'a')", EvalError::WrongType { what: "&" }),
        ("'a'.repeat($this & 'a')", EvalError::TooManySteps),
        ("descendants().select(%resource.descendants()).all('a'.matches('a{1,' & '9}'))", EvalError::TooManySteps),
        (
            "descendants().select(%resource.descendants().select(%resource.descendants() | note)).combine(descendants().select(%resource.descendants().select(%resource.descendants())))",
            EvalError::TooGreat,
        ),
        (
            "descendants().all(%resource.descendants().all(%resource.descendants().all(%resource.descendants().all(%resource.descendants().tail().exists()))))",
            EvalError::TooManySteps,
        ),
        ("descendants().aggregate($total & $total, 'a long enough text')", EvalError::TooGreat),
    ] {
        assert_eq!(on(&it, text), Err(due), "{text}");
    }
}

#[test]
fn what_is_no_expression() {
    for (text, at) in [
        ("", 0),
        ("a +", 3),
        ("a b", 2),
        ("a.where(", 8),
        ("(a", 2),
        ("'a", 0),
        ("a.nothing()", 2),
        ("a.first(1)", 2),
        ("a is nothing", 5),
        ("@2026-02-30", 0),
        ("a.matches('(')", 2),
        ("$that", 0),
        ("99999999999", 0),
        ("a[1", 3),
        ("a ; b", 2),
        ("'\\u00'", 0),
    ] {
        assert_eq!(parse(text).map_err(|error| error.at), Err(at), "{text}");
    }
    let deep = |n: usize| format!("{}a{}", "(".repeat(n), ")".repeat(n));
    assert!(parse(&deep(50)).is_ok() && parse(&deep(5000)).is_err());
    let long = |n: usize| vec!["a"; n].join(" | ");
    assert!(parse(&long(80)).is_ok() && parse(&long(2000)).is_err());
    assert!(parse(&" ".repeat(parser::TEXT_MAX_BYTES)).is_err());
}

#[test]
fn the_deepest_expression_on_the_deepest_resource_has_stack_enough() {
    let mut value = json!({"url": "urn:x"});
    for _ in 0..60 {
        value = json!({"url": "urn:x", "extension": [value]});
    }
    let it = json!({"resourceType": "Patient", "extension": [value]});
    let mut text = "descendants().count()".to_owned();
    for _ in 0..parser::HEIGHT_MAX - 3 {
        text = format!("iif(true, {text})");
    }
    is(&it, &text, &["122"]);
    let mut too_deep = json!({});
    for _ in 0..budget::DEPTH_MAX {
        too_deep = json!({"extension": too_deep});
    }
    let it = json!({"resourceType": "Patient", "extension": too_deep});
    assert_eq!(on(&it, "descendants()"), Err(EvalError::TooGreat));
}

#[test]
fn what_could_never_mean_anything() {
    let of = definitions::type_named("ServiceRequest");
    for good in [
        "status = 'active'",
        "ServiceRequest.subject.where(resolve() is Patient)",
        "(occurrence as Period).start <= now()",
        "category.coding.exists(system = 'urn:a' and code = '1')",
        "extension('urn:x').value.ofType(CodeableConcept).coding.code",
        "contained.ofType(Patient).birthDate",
        "priority.extension.url",
    ] {
        assert_eq!(parse(good).unwrap().check(of), Ok(()), "{good}");
    }
    for bad in [
        "stat = 'active'",
        "Patient.name",
        "category.code",
        "category.coding.where(kode = '1')",
        "occurrenceDateTime",
        "(occurrence as Quantity).value",
        "category.as(Coding)",
        "children().first()",
        "iif('yes', 1, 2)",
        "subject.resolve() is Patiant",
    ] {
        assert!(parse(bad).unwrap().check(of).is_err(), "{bad}");
    }
}

#[test]
fn dates_move_by_the_calendar() {
    let it = json!({});
    is(&it, "@2024-02-29 + 1 year", &["2025-02-28"]);
    is(&it, "@2024-01-31 + 1 month", &["2024-02-29"]);
    is(&it, "@2024 + 24 months", &["2026"]);
    is(&it, "@2024 - 400 days", &["2023"]);
    is(&it, "@2024-03-01 - 1 day", &["2024-02-29"]);
    is(&it, "@2024-03-01 + 25 hours", &["2024-03-02"]);
    is(&it, "@2024-12-31T23:59:59.5Z + 1 second", &["2025-01-01T00:00:00.5Z"]);
    is(&it, "@T23:30 + 45 minutes", &["00:15"]);
    is(&it, "@9999-12-31 + 1 day", &[]);
    is(&it, "@0001-01-01 - 1 day", &[]);
    is(&it, "today() - 18 years", &["2008-11-22"]);
    is(&it, "now()", &["2026-11-22T12:34:56.789Z"]);
    is(&it, "timeOfDay()", &["12:34:56.789"]);
    is(&it, "today() = @2026-11-22 and now() ~ now()", &["true"]);
}

#[test]
fn quantities_are_compared_in_one_unit() {
    let it = json!({});
    for yes in [
        "1 'kg' = 1000 'g'",
        "1 'mm[Hg]' > 133 'Pa'",
        "1 'mg/dL' = 10 'ug/mL'",
        "1 '/min' = 60 '/h'",
        "2 'm' * 3 'm' = 6 'm2'",
        "1 '{tablet}' = 1 '{dose}'",
        "1 '10*3' = 1000 '1'",
        "5 '%' = 0.05 '1'",
        "1 'kg' + 1 'g' = 1001 'g'",
        "36.6 'Cel' = 36.6 'Cel'",
        "(1 'kg' = 1 'm') = false",
        "(1 'kg' > 1 'm').empty()",
        "(36.6 'Cel' = 98 '[degF]').empty()",
        "'2 kg'.toQuantity().empty() and '2 \\'kg\\''.toQuantity('g') = 2000 'g'",
    ] {
        is(&it, yes, &["true"]);
    }
}

// --- laws ---

const TRUTHS: [&str; 3] = ["true", "false", "{}"];

#[test]
fn three_valued_logic_keeps_its_laws() {
    let it = json!({});
    for a in TRUTHS {
        is(&it, &format!("({a}).not().not() ~ {a}"), &["true"]);
        for b in TRUTHS {
            for law in [
                format!("({a} and {b}).not() ~ (({a}).not() or ({b}).not())"),
                format!("({a} or {b}).not() ~ (({a}).not() and ({b}).not())"),
                format!("({a} and {b}) ~ ({b} and {a})"),
                format!("({a} or {b}) ~ ({b} or {a})"),
                format!("({a} xor {b}) ~ ({b} xor {a})"),
                format!("({a} implies {b}) ~ (({a}).not() or {b})"),
                format!("({a} xor {b}) ~ (({a} or {b}) and ({a} and {b}).not())"),
            ] {
                is(&it, &law, &["true"]);
            }
        }
    }
}

fn literal() -> impl Strategy<Value = String> {
    prop_oneof![
        (-9..9i32).prop_map(|n| if n < 0 { format!("({n})") } else { n.to_string() }),
        (0..99u32, 0..99u32).prop_map(|(a, b)| format!("{a}.{b}")),
        "[a-c'\\\\\n]{0,2}".prop_map(|text| format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))),
        Just("true".to_owned()),
        Just("false".to_owned()),
        (2020..2026u32, 1..13u32, 1..29u32).prop_map(|(y, m, d)| format!("@{y}-{m:02}-{d:02}")),
        (2020..2026u32).prop_map(|y| format!("@{y}")),
        (0..24u32, 0..60u32).prop_map(|(h, m)| format!("@T{h:02}:{m:02}")),
        (2020..2026u32, 0..24u32).prop_map(|(y, h)| format!("@{y}-05-06T{h:02}:30:00+01:00")),
        (0..9u32).prop_map(|n| format!("{n} 'kg'")),
        (0..9u32).prop_map(|n| format!("{n} days")),
    ]
}

fn name() -> impl Strategy<Value = String> {
    let names = vec![
        "id",
        "status",
        "category",
        "coding",
        "code",
        "subject",
        "occurrence",
        "extension",
        "value",
        "contains",
        "Patient",
    ];
    prop_oneof![5 => proptest::sample::select(names).prop_map(str::to_owned), 1 => "`[a-z \\\\`]{0,3}`"]
}

/// Texts that are, by and large, expressions.
fn expression() -> impl Strategy<Value = String> {
    let start = prop_oneof![
        literal(),
        name(),
        proptest::sample::select(vec![
            "$this",
            "$index",
            "$total",
            "{}",
            "%resource",
            "%ucum",
            "children()",
            "now()",
            "descendants()"
        ])
        .prop_map(str::to_owned),
    ];
    start.prop_recursive(5, 40, 3, |inner| {
        let operators = vec![
            "+", "-", "*", "/", "div", "mod", "&", "|", "<", "<=", ">", ">=", "=", "!=", "~", "!~", "in", "contains",
            "and", "or", "xor", "implies",
        ];
        let call = (inner.clone(), proptest::sample::select(function::Function::ALL), inner.clone(), inner.clone());
        prop_oneof![
            (inner.clone(), proptest::sample::select(operators), inner.clone())
                .prop_map(|(a, how, b)| format!("({a} {how} {b})")),
            (inner.clone(), name()).prop_map(|(on, name)| format!("({on}).{name}")),
            (inner.clone(), inner.clone()).prop_map(|(on, index)| format!("({on})[{index}]")),
            (inner.clone(), "is|as", "Patient|string|Quantity|System.Boolean")
                .prop_map(|(a, how, of)| format!("({a} {how} {of})")),
            inner.clone().prop_map(|of| format!("(-{of})")),
            call.prop_map(|(on, function, a, b)| {
                let arguments = [a, b];
                let count = (*function.arguments().start()).min(2);
                format!("({on}).{}({})", function.name(), arguments[..count].join(", "))
            }),
        ]
    })
}

fn tree() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        "-?[1-9][0-9]{0,40}(\\.[0-9]{1,30})?([eE][+-]?[0-9]{1,3})?".prop_map(|n| serde_json::from_str(&n).unwrap()),
        "[a-z0-9#/:.é-]{0,8}".prop_map(Value::from),
        "[0-9]{4}-[01][0-9](-[0-3][0-9](T1[0-9]:00:00Z)?)?".prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 40, 4, |inner| {
        let key = "_?(id|status|category|coding|code|subject|occurrencePeriod|extension|valueQuantity|value|resourceType|url)";
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::vec((key, inner), 0..4).prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn no_text_crashes_the_parser(text in "\\PC{0,64}") {
        let _ = parse(&text);
    }

    #[test]
    fn no_words_crash_the_parser(words in proptest::collection::vec("a|'b'|1|1\\.5|@2|@T|\\(|\\)|\\.|\\[|\\]|\\{|\\}|is|as|and|contains|-|\\+|%|\\$this|,|where|`", 0..24)) {
        let _ = parse(&words.concat());
        let _ = parse(&words.join(" "));
    }

    #[test]
    fn what_is_written_is_read_as_the_same(text in expression()) {
        if let Ok(expression) = parse(&text) {
            let written = expression.to_string();
            prop_assert_eq!(parse(&written), Ok(expression), "{}", written);
        }
    }

    #[test]
    fn no_expression_crashes_on_any_tree(text in expression(), mut tree in tree(), kind in "ServiceRequest|Patient|Bundle|Nothing") {
        if let Some(object) = tree.as_object_mut() {
            object.insert("resourceType".to_owned(), kind.into());
        }
        if let Ok(expression) = parse(&text) {
            let context = Context { steps: 50_000, ..Context::new(&tree, now()) };
            let _ = expression.evaluate(context.resource, &context);
            let _ = expression.check(context.resource.of);
        }
    }

    #[test]
    fn collections_keep_their_laws(
        a in proptest::collection::vec(literal(), 0..6),
        b in proptest::collection::vec(literal(), 0..6),
    ) {
        let it = json!({});
        let combined = |items: &[String]| {
            items.iter().fold("{}".to_owned(), |all, item| format!("{all}.combine({item})"))
        };
        let (a_all, b_all) = (combined(&a), combined(&b));
        for law in [
            format!("({a_all} | {b_all}).count() = ({b_all} | {a_all}).count()"),
            format!("({a_all} | {b_all}).subsetOf({b_all} | {a_all})"),
            format!("{a_all}.combine({b_all}).count() = {a_all}.count() + {b_all}.count()"),
            format!("{a_all}.distinct().isDistinct()"),
            format!("{a_all}.combine({a_all}).distinct().count() = {a_all}.distinct().count()"),
            format!("{a_all}.intersect({b_all}).subsetOf({a_all})"),
            format!("{a_all}.exclude({b_all}).intersect({b_all}).empty()"),
            format!("{a_all}.where(true).count() = {a_all}.count() and {a_all}.where({{}}).empty()"),
            format!("{a_all}.skip(2).count() + {a_all}.take(2).count() = {a_all}.count()"),
            format!("{a_all}.all(true) and {a_all}.exists() = {a_all}.empty().not()"),
        ] {
            prop_assert_eq!(on(&it, &law), Ok(vec!["true".to_owned()]), "{}", law);
        }
    }

    #[test]
    fn comparing_is_the_same_both_ways(a in literal(), b in literal()) {
        let it = json!({});
        prop_assert_eq!(on(&it, &format!("{a} = {b}")), on(&it, &format!("{b} = {a}")));
        prop_assert_eq!(on(&it, &format!("{a} ~ {b}")), on(&it, &format!("{b} ~ {a}")));
        prop_assert_eq!(on(&it, &format!("({a} = {b}).not()")), on(&it, &format!("{a} != {b}")));
        if let (Ok(less), Ok(greater)) = (on(&it, &format!("{a} < {b}")), on(&it, &format!("{b} > {a}"))) {
            prop_assert_eq!(less, greater);
        }
    }

    #[test]
    fn days_added_are_days_taken_away(year in 2000..2030u32, month in 1..13u32, day in 1..29u32, days in 0..9999u32) {
        let it = json!({});
        let date = format!("@{year}-{month:02}-{day:02}");
        prop_assert_eq!(on(&it, &format!("{date} + {days} days - {days} days = {date}")), Ok(vec!["true".to_owned()]));
        prop_assert_eq!(on(&it, &format!("{date} + {days} days >= {date}")), Ok(vec!["true".to_owned()]));
    }
}
