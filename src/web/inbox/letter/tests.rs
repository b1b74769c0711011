//! Letters as `pdftotext` of poppler reads them: another program's opinion on whether they can be read.

use std::process::Command;

use super::super::{
    super::tests::Browser,
    tests::{WHOLE, scene},
};
use super::*;

/// The text of a PDF; none where poppler is not here.
fn read(pdf: &[u8]) -> Option<String> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("letter.pdf");
    std::fs::write(&file, pdf).unwrap();
    match Command::new("pdftotext").arg("-layout").arg(&file).arg("-").output() {
        Ok(done) => {
            assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
            assert_eq!(String::from_utf8_lossy(&done.stderr), "", "poppler complains of nothing");
            Some(String::from_utf8(done.stdout).unwrap())
        }
        Err(_) => {
            eprintln!("SKIPPED: what a letter says: poppler-utils are not installed (pdftotext)");
            None
        }
    }
}

async fn letter(luke: &mut Browser, path: &str) -> (StatusCode, axum::http::HeaderMap, Vec<u8>) {
    luke.bytes(path).await
}

#[tokio::test]
async fn a_referral_is_taken_home_as_a_letter() {
    let (scene, mut luke) = scene().await;
    let task = scene.refers(WHOLE, "R-1").await;
    assert!(luke.get(&format!("/inbox/{task}")).await.text.contains(&format!("/inbox/{task}/letter")));
    let (status, headers, pdf) = letter(&mut luke, &format!("/inbox/{task}/letter")).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(headers[header::CONTENT_TYPE], "application/pdf");
    assert_eq!(headers[header::CACHE_CONTROL], "no-store");
    assert_eq!(headers[header::CONTENT_DISPOSITION], "attachment; filename=\"referral.pdf\"");
    assert!(pdf.starts_with(b"%PDF-") && pdf.len() < 150_000, "{} bytes", pdf.len());
    if let Some(text) = read(&pdf) {
        for told in [
            "Link workers",
            "About Declan Rimmer",
            "999 074 2677",
            "Low mood and isolation",
            "Consent is given",
            "Page 1 of",
        ] {
            assert!(text.contains(told), "{told}: {text}");
        }
    }
    // whoever may not see the referral has no letter of it either
    let key = scene.enrolled("mia", "provider-worker:mind").await;
    let mut mia = scene.logged_in("mia", &key).await;
    assert_eq!(letter(&mut mia, &format!("/inbox/{task}/letter")).await.0, StatusCode::NOT_FOUND);
}

#[test]
fn a_letter_says_that_a_referral_was_taken_back() {
    let story = Story::default();
    let status = words::status_of(crate::domain::TaskStatus::EnteredInError, true).words;
    let content = Content { from: "", on: "", story: &story, reference: "", came: "today", status, messages: &[] };
    let told = format!("{:?}", blocks(&content));
    assert!(told.contains("It is “Taken back: sent in error” now."), "{told}");
}

#[test]
fn whatever_stands_in_it_a_letter_is_made() {
    let hostile = [
        "ליאת بنت حدّاد and Łukasz Żółć",
        "\u{202E}gnp.exe\u{202C} \u{0}\u{7}\u{1b}[31m",
        "😀👩‍👩‍👧‍👦 漢字 বাংলা",
        "(\\) Tj ET %%EOF <</S /JavaScript>> endstream endobj",
        &"x".repeat(20_000),
        &"word ".repeat(4_000),
        "",
        "\n\n\n",
    ];
    let blocks: Vec<Block> = hostile
        .iter()
        .flat_map(|text| {
            let text = (*text).to_owned();
            [Block::Heading(text.clone()), Block::Fact(text.clone(), vec![text.clone()]), Block::Text(text)]
        })
        .collect();
    let pdf = paper::pdf("Referral", &blocks).unwrap();
    let Some(text) = read(&pdf) else { return };
    for told in ["Łukasz Żółć", "%%EOF", "gnp.exe", "Page 30 of 30", "too long"] {
        assert!(text.contains(told), "{told}");
    }
    let short = paper::pdf("Referral", &[Block::Text("漢 and more".into())]).unwrap();
    let text = read(&short).unwrap_or_default();
    assert!(text.contains("□ and more") && text.contains("stands for a sign"), "{text}");
    let few = [Block::Text("ليلى حدّاد".into())];
    let arabic = read(&paper::pdf("Referral", &few).unwrap()).unwrap_or_default();
    assert!(
        arabic.chars().filter(|c| matches!(c, '\u{0600}'..='\u{06FF}' | '\u{FB50}'..='\u{FEFC}')).count() >= 8,
        "{arabic}"
    );
}

#[test]
fn what_is_most_important_stands_first() {
    let fact = |key: &str| Fact { key: key.into(), values: vec!["x".into()] };
    let story = Story {
        person: "Declan Rimmer".into(),
        what: "Social prescribing".into(),
        reach: vec![fact("Phone and email"), fact("Date of birth"), fact("NHS number")],
        risks: vec![fact("Safeguarding")],
        why: vec![fact("Reason")],
        ..Story::default()
    };
    let content = Content {
        from: "Link workers",
        on: "3 March 2026",
        story: &story,
        reference: "R-1",
        came: "3 March 2026, 9:00",
        status: "New",
        messages: &[],
    };
    let told: Vec<String> = blocks(&content)
        .into_iter()
        .map(|block| match block {
            Block::Title(text) | Block::Heading(text) | Block::Text(text) | Block::Fact(text, _) => text,
        })
        .collect();
    assert_eq!(
        told,
        [
            "Link workers",
            "3 March 2026",
            "About Declan Rimmer",
            "Date of birth",
            "NHS number",
            "Referral",
            "Safeguarding and risks",
            "Safeguarding",
            "Why the person was referred",
            "Reason",
            "How to reach the person",
            "Phone and email",
        ]
    );
}
