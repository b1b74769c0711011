//! Searches as IHE mCSD asks for them (4.0.0, ITI-90), with GET and POST, and what R4 says of pages and of what is brought along.

use super::*;

on_both_stores!(
    every_parameter_of_iti_90_finds,
    what_matches_lead_to_and_what_leads_to_them_is_brought_along,
    pages_are_turned_in_the_order_that_is_asked_for,
    what_is_near_comes_the_nearest_first,
    room_referrals_and_ages_are_asked_for,
    pages_skip_nothing_when_what_ended_one_has_moved_or_gone,
    where_a_postcode_lies_cannot_be_found_out_by_distances,
);

/// What a small directory holds, by short names.
struct Holds {
    garden: String,
    sheds: String,
    walton: String,
    toxteth: String,
    endpoint: String,
    gardening: String,
    courses: String,
    closed: String,
}

async fn filled(hub: &Hub) -> Holds {
    let anna = hub.steward();
    let identified = |mut body: Value, value: &str| {
        body["identifier"] = json!([{"system": "https://directory.example/id", "value": value}]);
        body
    };
    let mut garden = identified(organization("Gärten Trust"), "garden");
    garden["type"] = json!([{"coding": [{"system": "https://t.example", "code": "charity"}]}]);
    garden["partOf"] = of("life-rooms");
    let garden = made(&anna, &garden).await;
    let mut sheds = identified(organization("Sheds United"), "sheds");
    sheds["active"] = false.into();
    sheds["partOf"] = refers(&garden);
    let sheds = made(&anna, &sheds).await;
    let location = |name: &str, status: &str, of: &str| {
        entry(
            "Location",
            json!({"status": status, "name": name, "managingOrganization": refers(of),
            "type": [{"coding": [{"system": "https://t.example", "code": "hub"}]}]}),
        )
    };
    let walton = made(&anna, &identified(location("Walton Hub", "active", &garden), "walton")).await;
    let mut toxteth = location("Toxteth Annexe", "suspended", &sheds);
    toxteth["partOf"] = refers(&walton);
    let toxteth = made(&anna, &toxteth).await;
    let endpoint = entry(
        "Endpoint",
        json!({"status": "active", "connectionType": {"code": "hl7-fhir-rest"},
        "payloadType": [{"text": "any"}], "managingOrganization": refers(&garden), "address": "https://garden.example/fhir"}),
    );
    let endpoint = made(&anna, &identified(endpoint, "endpoint")).await;
    let typed = |code: &str| json!([{"coding": [{"system": "http://snomed.info/sct", "code": code}]}]);
    let gardening = service(
        "Gardening for all",
        json!({"providedBy": refers(&garden), "type": typed("73211009"),
        "location": [refers(&walton), refers(&toxteth)], "endpoint": [refers(&endpoint), refers("Endpoint/link-workers")]}),
    );
    let gardening = made(&anna, &identified(gardening, "gardening")).await;
    let courses = made(
        &anna,
        &service(
            "Courses",
            json!({"providedBy": of("life-rooms"), "type": typed("871731000000106"), "location": [refers(&walton)]}),
        ),
    )
    .await;
    let closed = made(
        &anna,
        &service("Closed", json!({"active": false, "providedBy": refers(&sheds), "type": typed("73211009")})),
    )
    .await;
    Holds { garden, sheds, walton, toxteth, endpoint, gardening, courses, closed }
}

fn id(place: &str) -> &str {
    place.rsplit('/').next().unwrap()
}

/// A type, what it is asked with, and what that finds.
type Case<'c> = (&'c str, Vec<(&'c str, String)>, Vec<&'c str>);

async fn every_parameter_of_iti_90_finds(hub: Hub) {
    let h = filled(&hub).await;
    let gp = hub.sender(hub::GP);
    let at = |name: &str| format!("https://directory.example/id|{name}");
    let life_rooms = "Organization/life-rooms".to_owned();
    let cases: Vec<Case<'_>> = vec![
        ("Organization", vec![("active", "false".into())], vec![&h.sheds]),
        ("Organization", vec![("identifier", at("garden"))], vec![&h.garden]),
        (
            "Organization",
            vec![("identifier", "https://fhir.nhs.uk/Id/ods-organization-code|U99999".into())],
            vec!["Organization/link-workers"],
        ),
        ("Organization", vec![("name", "garten".into())], vec![&h.garden]),
        ("Organization", vec![("name", "united".into())], vec![]),
        ("Organization", vec![("name:contains", "UNITED".into())], vec![&h.sheds]),
        ("Organization", vec![("name:exact", "Sheds United".into())], vec![&h.sheds]),
        ("Organization", vec![("name:exact", "sheds united".into())], vec![]),
        ("Organization", vec![("partof", h.garden.clone())], vec![&h.sheds]),
        ("Organization", vec![("partof", life_rooms.clone())], vec![&h.garden]),
        ("Organization", vec![("partof.name", "Gär".into())], vec![&h.sheds]),
        ("Organization", vec![("type", "charity".into())], vec![&h.garden]),
        ("Organization", vec![("_id", id(&h.sheds).into())], vec![&h.sheds]),
        (
            "Organization",
            vec![("_id", format!("{},life-rooms", id(&h.sheds)))],
            vec![&h.sheds, "Organization/life-rooms"],
        ),
        ("Location", vec![("identifier", at("walton"))], vec![&h.walton]),
        ("Location", vec![("name", "walton".into())], vec![&h.walton]),
        ("Location", vec![("name:contains", "annexe".into())], vec![&h.toxteth]),
        ("Location", vec![("name:exact", "Walton Hub".into())], vec![&h.walton]),
        ("Location", vec![("organization", h.garden.clone())], vec![&h.walton]),
        ("Location", vec![("organization.name", "sheds".into())], vec![&h.toxteth]),
        ("Location", vec![("partof", id(&h.walton).into())], vec![&h.toxteth]),
        ("Location", vec![("status", "suspended".into())], vec![&h.toxteth]),
        ("Location", vec![("type", "https://t.example|hub".into())], vec![&h.walton, &h.toxteth]),
        ("HealthcareService", vec![("active", "false".into())], vec![&h.closed]),
        ("HealthcareService", vec![("identifier", at("gardening"))], vec![&h.gardening]),
        ("HealthcareService", vec![("location", h.walton.clone())], vec![&h.gardening, &h.courses]),
        ("HealthcareService", vec![("location", format!("{}/fhir/{}", hub.base_url, h.toxteth))], vec![&h.gardening]),
        ("HealthcareService", vec![("location.name", "toxteth".into())], vec![&h.gardening]),
        ("HealthcareService", vec![("name:contains", "for all".into())], vec![&h.gardening]),
        ("HealthcareService", vec![("organization", life_rooms)], vec![&h.courses]),
        ("HealthcareService", vec![("organization", h.sheds.clone())], vec![&h.closed]),
        ("HealthcareService", vec![("organization.name", "life".into())], vec![&h.courses]),
        (
            "HealthcareService",
            vec![("service-type", "http://snomed.info/sct|73211009".into())],
            vec![&h.gardening, &h.closed],
        ),
        ("HealthcareService", vec![("service-type", "73211009".into()), ("active", "true".into())], vec![&h.gardening]),
        ("HealthcareService", vec![("service-type:not", "73211009".into())], vec![&h.courses]),
        ("HealthcareService", vec![("location:missing", "true".into())], vec![&h.closed]),
        ("HealthcareService", vec![("endpoint", "Endpoint/link-workers".into())], vec![&h.gardening]),
        ("HealthcareService", vec![("_lastUpdated", "lt2020".into())], vec![]),
        ("HealthcareService", vec![("_lastUpdated", "gt2020".into())], vec![&h.gardening, &h.courses, &h.closed]),
        ("Endpoint", vec![("identifier", at("endpoint"))], vec![&h.endpoint]),
        ("Endpoint", vec![("organization", h.garden.clone())], vec![&h.endpoint]),
        ("Endpoint", vec![("organization", "Organization/link-workers".into())], vec!["Endpoint/link-workers"]),
        ("Endpoint", vec![("status", "suspended".into())], vec![]),
        (
            "Endpoint",
            vec![("identifier", "https://onward.example/fhir/NamingSystem/inbox|triage".into())],
            vec!["Endpoint/triage"],
        ),
    ];
    for (kind, asked, expected) in cases {
        let asked: Vec<(&str, &str)> = asked.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let mut expected: Vec<&str> = expected.into_iter().map(id).collect();
        expected.sort_unstable();
        let text = query(&asked);
        let mut given = ids(&found(&gp, &format!("{kind}{text}")).await);
        given.sort_unstable();
        assert_eq!(given, expected, "{kind}{text}");
        let call = gp.call_to(Method::POST, &format!("/fhir/{kind}/_search"));
        let posted = gp.call(call.bytes("application/x-www-form-urlencoded", text[1..].to_owned().into())).await;
        let mut given = ids(&posted.json());
        given.sort_unstable();
        assert_eq!(given, expected, "POST {kind}{text}");
    }
    let xml = gp.get("/fhir/HealthcareService?name=Courses&_format=xml").await;
    assert!(String::from_utf8_lossy(&xml.body).contains("<name value=\"Courses\""), "{}", xml.describe());
    refused(&gp.get("/fhir/HealthcareService?colour=red").await, 400, "not-supported", "http.colour");
    hub.stop().await;
}

async fn what_matches_lead_to_and_what_leads_to_them_is_brought_along(hub: Hub) {
    let h = filled(&hub).await;
    let gp = hub.sender(hub::GP);
    let kinds = |bundle: Value| {
        let modes = bundle["entry"].as_array().unwrap().iter().map(|entry| {
            let resource = &entry["resource"];
            let place = format!("{}/{}", resource["resourceType"].as_str().unwrap(), resource["id"].as_str().unwrap());
            (entry["search"]["mode"].as_str().unwrap().to_owned(), place)
        });
        let mut brought: Vec<String> = modes.filter(|(mode, _)| mode == "include").map(|(_, place)| place).collect();
        brought.sort();
        brought
    };
    let gardening = format!("HealthcareService?_id={}", id(&h.gardening));
    let garden = format!("Organization?_id={}", id(&h.garden));
    for (search, expected) in [
        (format!("{gardening}&_include=HealthcareService:organization"), vec![h.garden.clone()]),
        (format!("{gardening}&_include=HealthcareService:location"), vec![h.toxteth.clone(), h.walton.clone()]),
        (
            format!("{gardening}&_include=HealthcareService:endpoint"),
            vec![h.endpoint.clone(), "Endpoint/link-workers".into()],
        ),
        (
            format!("{gardening}&_include=HealthcareService:organization&_include:iterate=Organization:partof"),
            vec![h.garden.clone(), "Organization/life-rooms".into()],
        ),
        (format!("Location?_id={}&_include=Location:organization", id(&h.walton)), vec![h.garden.clone()]),
        (format!("{garden}&_revinclude=Location:organization"), vec![h.walton.clone()]),
        (format!("{garden}&_revinclude=HealthcareService:organization"), vec![h.gardening.clone()]),
        (format!("{garden}&_revinclude=Organization:partof"), vec![h.sheds.clone()]),
        (
            format!("{garden}&_revinclude=Endpoint:organization&_revinclude=Location:organization"),
            vec![h.endpoint.clone(), h.walton.clone()],
        ),
        (
            format!("{garden}&_revinclude=Location:organization&_revinclude:iterate=HealthcareService:location"),
            vec![h.gardening.clone(), h.courses.clone(), h.walton.clone()],
        ),
        (
            "Organization?_id=link-workers&_revinclude=Endpoint:organization".into(),
            vec!["Endpoint/link-workers".into()],
        ),
    ] {
        let mut expected = expected;
        expected.sort();
        assert_eq!(kinds(found(&gp, &search).await), expected, "{search}");
    }
    hub.stop().await;
}

async fn pages_are_turned_in_the_order_that_is_asked_for(hub: Hub) {
    let anna = hub.steward();
    let names: Vec<String> = (0..23).map(|n| format!("Service {:02}", (n * 7) % 23)).collect();
    for name in &names {
        made(&anna, &service(name, json!({}))).await;
    }
    let gp = hub.sender(hub::GP);
    let turned = |search: String| {
        let gp = gp.clone();
        async move {
            let (mut all, mut pages) = (Vec::new(), 0);
            let mut url = format!("/fhir/{search}");
            loop {
                let page = gp.get(&url).await.json();
                all.extend(resources(&page).iter().map(|r| r["name"].as_str().unwrap().to_owned()));
                pages += 1;
                let next = page["link"].as_array().unwrap().iter().find(|link| link["relation"] == "next");
                match next {
                    Some(next) => url = next["url"].as_str().unwrap().to_owned(),
                    None => return (all, pages),
                }
            }
        }
    };
    let mut sorted = names.clone();
    sorted.sort();
    assert_eq!(turned("HealthcareService?_count=5".into()).await, (names.clone(), 5), "as they were made");
    assert_eq!(turned("HealthcareService?_count=5&_sort=name".into()).await, (sorted.clone(), 5));
    sorted.reverse();
    assert_eq!(turned("HealthcareService?_count=4&_sort=-name&active=true".into()).await, (sorted, 6));
    let narrowed = turned("HealthcareService?_count=2&name:contains=1&_sort=name".into()).await.0;
    assert_eq!(narrowed.first().map(String::as_str), Some("Service 01"));
    assert_eq!(narrowed.len(), names.iter().filter(|name| name.contains('1')).count());
    let total = |search: &'static str| {
        let gp = gp.clone();
        async move { found(&gp, search).await["total"].clone() }
    };
    assert_eq!(total("HealthcareService?_count=2&_total=accurate").await, 23);
    assert_eq!(total("HealthcareService?_summary=count").await, 23);
    assert_eq!(total("HealthcareService?_summary=count&name:contains=1").await, 12);
    assert_eq!(found(&gp, "HealthcareService?_count=2&_summary=true").await["entry"].as_array().unwrap().len(), 2);
    // what is made while pages are turned comes at its end, and nothing is skipped
    let first = found(&gp, "HealthcareService?_count=20").await;
    made(&anna, &service("Late", json!({}))).await;
    let next = first["link"].as_array().unwrap().iter().find(|link| link["relation"] == "next").unwrap();
    let rest = gp.get(next["url"].as_str().unwrap()).await.json();
    assert_eq!(resources(&rest).len(), 4);
    refused(&gp.get("/fhir/HealthcareService?_after=m.x").await, 400, "value", "http._after");
    hub.stop().await;
}

/// Ids and distances of matches, as they come.
async fn near(actor: &Actor, search: &str) -> Vec<(String, f64)> {
    let bundle = found(actor, search).await;
    let entries = onward::fhir::tree::items(&bundle, "entry");
    let one = |entry: &Value| {
        let told = &entry["search"]["extension"][0];
        assert_eq!(told["url"], "http://hl7.org/fhir/StructureDefinition/location-distance", "{search}");
        assert_eq!(told["valueDistance"]["code"], "km");
        let place = format!(
            "{}/{}",
            entry["resource"]["resourceType"].as_str().unwrap(),
            entry["resource"]["id"].as_str().unwrap()
        );
        (place, told["valueDistance"]["value"].as_f64().unwrap())
    };
    entries.iter().filter(|entry| entry["search"]["mode"] == "match").map(one).collect()
}

fn location(name: &str, more: Value) -> Value {
    let mut body = entry("Location", json!({"status": "active", "name": name}));
    for (element, value) in more.as_object().unwrap() {
        body[element] = value.clone();
    }
    body
}

async fn what_is_near_comes_the_nearest_first(hub: Hub) {
    let (anna, gp) = (hub.steward(), hub.sender(hub::GP));
    // kilometres north of 53.4, -2.97: a degree of latitude has 111.195 km
    let north = |km: f64| json!({"position": {"latitude": 53.4 + km / 111.195, "longitude": -2.97}});
    let (one, four, nine) = (
        made(&anna, &location("one", north(1.0))).await,
        made(&anna, &location("four", north(4.0))).await,
        made(&anna, &location("nine", north(9.0))).await,
    );
    let nowhere = made(&anna, &location("nowhere", json!({}))).await;
    let postcode = made(&anna, &location("placed", json!({"address": {"postalCode": "L8 9ZZ"}}))).await;
    let offered = |name: &str, at: &[&String]| {
        let at: Vec<Value> = at.iter().map(|place| refers(place)).collect();
        service(
            name,
            json!({"location": at, "type": [{"coding": [{"system": "http://snomed.info/sct", "code": "73211009"}]}]}),
        )
    };
    let far = made(&anna, &offered("far", &[&nine])).await;
    let both = made(&anna, &offered("both", &[&nine, &one])).await;
    let middle = made(&anna, &offered("middle", &[&four])).await;
    made(&anna, &offered("without", &[&nowhere])).await;

    let places = near(&gp, "Location?near=53.4|-2.97|5|km&name:contains=o").await;
    assert_eq!(places.iter().map(|(place, _)| place.as_str()).collect::<Vec<_>>(), [&*one, &*four]);
    assert!((places[0].1 - 1.0).abs() < 0.01 && (places[1].1 - 4.0).abs() < 0.01, "{places:?}");
    for search in ["HealthcareService?near=53.4|-2.97|10|km", "HealthcareService?location.near=53.4|-2.97|10000|m"] {
        let services = near(&gp, search).await;
        let told: Vec<_> = services.iter().map(|(place, km)| (place.as_str(), km.round() as i64)).collect();
        assert_eq!(told, [(&*both, 1), (&*middle, 4), (&*far, 9)], "{search}");
    }
    let by_need = "HealthcareService?near=53.4|-2.97|10|km&service-type=73211009&active=true&_count=2";
    let first = found(&gp, by_need).await;
    let next = first["link"].as_array().unwrap().iter().find(|link| link["relation"] == "next").unwrap()["url"]
        .as_str()
        .unwrap();
    let rest = gp.get(next).await.json();
    assert_eq!([ids(&first), ids(&rest)].concat(), [&both, &middle, &far].map(|place| id(place).to_owned()));
    // another order is another order, and says how far all the same
    let sorted = near(&gp, "HealthcareService?near=53.4|-2.97|10|km&_sort=-name").await;
    assert_eq!(sorted.iter().map(|(place, _)| place.as_str()).collect::<Vec<_>>(), [&*middle, &*far, &*both]);
    // about where an outward code lies; what has no position itself is found by its own postcode and is told to lie nowhere
    let around = near(&gp, "Location?near-postcode=L8|3|km").await;
    assert!(around.iter().any(|(place, _)| *place == postcode), "{around:?}");
    assert!(gp.get(&format!("/fhir/{postcode}")).await.json().get("position").is_none());
    let bundle = found(&gp, "Location?near-postcode=L8|3|km").await;
    let told: Vec<&Value> =
        onward::fhir::tree::items(&bundle, "entry").iter().filter(|e| e["search"]["mode"] == "outcome").collect();
    assert_eq!(told.len(), 1);
    let issue = &told[0]["resource"]["issue"][0];
    assert_eq!(issue["severity"], "information");
    assert!(issue["diagnostics"].as_str().unwrap().contains("about the middle of the outward code"), "{issue}");
    refused(&gp.get("/fhir/Location?near-postcode=ZZ9|3|km").await, 400, "not-found", "http.near-postcode");
    refused(&gp.get("/fhir/Location?near=53.4").await, 400, "value", "http.near");
    assert_eq!(near(&gp, "HealthcareService?near=0|0|5|km").await, []);

    // one that moves is found where it is
    let mut body = gp.get(&format!("/fhir/{one}")).await.json();
    body["position"] = north(60.0)["position"].clone();
    assert_eq!(put(&anna, &format!("/fhir/{one}"), None, &body).await.status, 200);
    let told = near(&gp, "HealthcareService?near=53.4|-2.97|10|km").await;
    assert_eq!(told.iter().map(|(place, _)| place.as_str()).collect::<Vec<_>>(), [&*middle, &*far, &*both]);
    hub.stop().await;
}

async fn room_referrals_and_ages_are_asked_for(hub: Hub) {
    let (anna, gp) = (hub.steward(), hub.sender(hub::GP));
    let url = |name: &str| format!("https://onward.example/fhir/StructureDefinition/{name}");
    let says = |name: &str, capacity: &str, accepts: bool, low: Option<i64>, high: Option<i64>| {
        let end =
            |years: i64| json!({"value": years, "unit": "years", "system": "http://unitsofmeasure.org", "code": "a"});
        let mut range = json!({});
        low.inspect(|years| range["low"] = end(*years));
        high.inspect(|years| range["high"] = end(*years));
        service(
            name,
            json!({"extension": [{"url": url("capacity"), "valueCode": capacity},
            {"url": url("accepts-referrals"), "valueBoolean": accepts}, {"url": url("eligible-age"), "valueRange": range}]}),
        )
    };
    made(&anna, &says("young", "capacity", true, None, Some(25))).await;
    made(&anna, &says("grown", "waitlist", true, Some(18), None)).await;
    made(&anna, &says("old", "no-capacity", false, Some(65), Some(120))).await;
    made(&anna, &service("silent", json!({}))).await;
    for (asked, expected) in [
        ("capacity=capacity", &["young"][..]),
        ("capacity=capacity,waitlist", &["young", "grown"]),
        ("capacity:not=no-capacity", &["young", "grown", "silent"]),
        ("capacity:missing=true", &["silent"]),
        ("accepts-referrals=true", &["young", "grown"]),
        ("accepts-referrals=false", &["old"]),
        ("eligible-age=17", &["young", "silent"]),
        ("eligible-age=18", &["young", "grown", "silent"]),
        ("eligible-age=25", &["young", "grown", "silent"]),
        ("eligible-age=25.5", &["grown", "silent"]),
        ("eligible-age=7&eligible-age=70", &["silent"]),
        ("eligible-age:missing=true", &["silent"]),
        ("eligible-age:missing=false", &["young", "grown", "old"]),
        ("eligible-age=70", &["grown", "old", "silent"]),
        ("eligible-age=70&accepts-referrals=true", &["grown"]),
        ("eligible-age=17,70", &["young", "grown", "old", "silent"]),
    ] {
        let bundle = found(&gp, &format!("HealthcareService?{asked}")).await;
        let names: Vec<_> = resources(&bundle).iter().map(|r| r["name"].as_str().unwrap()).collect();
        assert_eq!(names, expected, "{asked}");
    }
    refused(&gp.get("/fhir/HealthcareService?eligible-age=old").await, 400, "value", "http.eligible-age");
    hub.stop().await;
}

async fn pages_skip_nothing_when_what_ended_one_has_moved_or_gone(hub: Hub) {
    let anna = hub.steward();
    let mut places = Vec::new();
    for n in 0..9 {
        let position = json!({"position": {"latitude": 53.0 + f64::from(n) / 100.0, "longitude": -2.97}});
        places.push(made(&anna, &location(&format!("place {n}"), position)).await);
    }
    let next = |bundle: &Value| {
        let links = bundle["link"].as_array().unwrap();
        links.iter().find(|link| link["relation"] == "next").map(|link| link["url"].as_str().unwrap().to_owned())
    };
    for (n, search) in ["Location?near=53|-2.97|50|km&_count=3", "Location?_sort=name&_count=3"].iter().enumerate() {
        let first = found(&anna, search).await;
        let mut seen = ids(&first);
        let last = &places[2];
        // away, behind all others; then, in the other order, inactive under a name behind all others
        let mut body = anna.get(&format!("/fhir/{last}")).await.json();
        if n == 0 {
            body["position"] = json!({"latitude": 10, "longitude": 10});
        } else {
            body["name"] = "zz".into();
        }
        assert_eq!(put(&anna, &format!("/fhir/{last}"), None, &body).await.status, 200);
        let mut link = next(&first);
        while let Some(url) = link {
            let page = anna.get(&url).await;
            assert_eq!(page.status, 200, "{}", page.describe());
            let page = page.json();
            seen.extend(ids(&page));
            link = next(&page);
        }
        for place in &places {
            assert!(seen.contains(&id(place).to_owned()), "{search}: {place} was skipped");
        }
    }
    hub.stop().await;
}

async fn where_a_postcode_lies_cannot_be_found_out_by_distances(hub: Hub) {
    let anna = hub.steward();
    let placed = made(&anna, &location("placed", json!({"address": {"postalCode": "L8 9ZZ"}}))).await;
    for from in ["53.39|-2.95", "53.4|-2.96", "53.3|-3.0", "53.385|-2.97"] {
        let away = near(&anna, &format!("Location?near={from}|60|km")).await;
        let (_, km) = away.iter().find(|(place, _)| *place == placed).unwrap();
        assert!((km - km.round()).abs() < 1e-9, "{from}: {km}");
    }
    hub.stop().await;
}
