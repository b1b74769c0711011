//! The connection to the server is encrypted and goes to the one that its certificate names, or there is none.

use std::time::Instant;

use super::*;

/// What opening the store at this URL comes to, as a service does it.
fn opened(url: String) -> Result<PostgresStore, String> {
    block_on(async move { PostgresStore::open(&url, None).await.map_err(|error| error.to_string()) })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_is_spoken_to_under_tls_where_its_certificate_is_trusted_and_names_it() {
    let Some(place) = Place::new() else { return };
    drop(place.open().unwrap());
    let certificate = std::env::var("ONWARD_TEST_POSTGRES_CERTIFICATE").unwrap();
    let trusted = format!("{}&sslmode=verify-full&sslrootcert={certificate}", place.url);
    let encrypted =
        "SELECT count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE ssl AND application_name = 'onward'";

    let store = opened(trusted.clone()).unwrap();
    assert_eq!(store.find_tasks("nobody").await.unwrap().len(), 0);
    assert!(place.sql(encrypted)[0].get::<_, i64>(0) > 0);
    drop(store);

    // nobody here vouches for it; and it is not the one that was meant
    let unknown = trusted.replace(&format!("&sslrootcert={certificate}"), "");
    let misnamed = trusted.replace("@127.0.0.1:", "@localhost:");
    let password = place.url.split_once("://onward:").unwrap().1.split_once('@').unwrap().0;
    for url in [unknown.clone(), unknown.replace("verify-full", "require"), misnamed] {
        let asked = Instant::now();
        let told = opened(url).map(drop).unwrap_err();
        assert!(asked.elapsed() < Duration::from_secs(5), "it was waited for what waiting does not make right");
        assert!(told.contains("certificate") && told.contains("sslrootcert"), "{told}");
        assert!(!told.contains(password), "the password is told");
    }
}
