//! Secrets: where they are read from, and how they are held so that no log, fault or Debug shows them.

use std::{
    cell::RefCell,
    fmt,
    path::{Path, PathBuf},
};

use aws_lc_rs::{constant_time, digest, rand};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use zeroize::Zeroizing;

use super::Env;
use crate::toml_reader::Node;

const ALLOWED: &str = "{ env = \"NAME\" } or { file = \"PATH\" }";
/// A shorter token could be guessed.
const TOKEN_CHARS_MIN: usize = 16;
/// A longer one would not fit into a header.
const TOKEN_CHARS_MAX: usize = 4096;
/// So many random bytes nobody guesses.
const TOKEN_BYTES: usize = 32;

/// A secret that Onward must show to somebody else: a token it sends, a password. Never printed, and overwritten when it is let go.
#[derive(Clone, Eq)]
pub struct Secret(Zeroizing<String>);

/// The SHA-256 of a token that a client shows to Onward. The token itself is not kept.
#[derive(Clone, Eq, PartialOrd, Ord)]
pub struct TokenHash([u8; 32]);

/// Whether two secrets, or what is kept of them, are the same. How long that takes says nothing of where they differ; every comparison of
/// secrets is this one.
pub fn is_same_secret(one: &[u8], other: &[u8]) -> bool {
    constant_time::verify_slices_are_equal(one, other).is_ok()
}

/// Reads secrets and remembers from which files.
pub(super) struct Secrets<'e> {
    env: &'e Env,
    folder: &'e Path,
    files: RefCell<Vec<PathBuf>>,
}

// === impl Secret ===

impl Secret {
    /// Keeps a text as a secret, whatever its length.
    pub fn of(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// The text. Only for the one place that sends it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        is_same_secret(self.0.as_bytes(), other.0.as_bytes())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

// === impl TokenHash ===

impl TokenHash {
    /// The hash of a token.
    pub fn of(token: &str) -> Self {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest::digest(&digest::SHA256, token.as_bytes()).as_ref());
        Self(bytes)
    }

    /// The hash that is written so: 64 hexadecimal digits, small ones.
    pub fn of_hex(text: &str) -> Option<Self> {
        let digit = |b: u8| match b {
            b'0'..=b'9' => Some(b - b'0'),
            b'a'..=b'f' => Some(b - b'a' + 10),
            _ => None,
        };
        let mut bytes = [0; 32];
        if text.len() != 64 {
            return None;
        }
        for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
            let [high, low] = pair else { return None };
            *byte = digit(*high)? << 4 | digit(*low)?;
        }
        Some(Self(bytes))
    }

    /// Its hexadecimal digits.
    pub fn hex(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Compares in constant time.
    pub fn is(&self, other: &TokenHash) -> bool {
        is_same_secret(&self.0, &other.0)
    }

    /// The 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl PartialEq for TokenHash {
    fn eq(&self, other: &Self) -> bool {
        self.is(other)
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenHash(…)")
    }
}

/// A token that nobody guesses, and what of it stands in the configuration; none where the system gives no random bytes. It is to be shown
/// once, to its client alone.
pub fn new_token() -> Option<(Secret, TokenHash)> {
    let mut random = Zeroizing::new([0; TOKEN_BYTES]);
    rand::fill(random.as_mut_slice()).ok()?;
    let token = Secret::of(URL_SAFE_NO_PAD.encode(random.as_slice()));
    let hash = TokenHash::of(token.reveal());
    Some((token, hash))
}

// === impl Secrets ===

impl<'e> Secrets<'e> {
    pub(super) fn new(env: &'e Env, folder: &'e Path) -> Self {
        Self { env, folder, files: RefCell::default() }
    }

    /// Beside what files are looked for.
    pub(super) fn folder(&self) -> &'e Path {
        self.folder
    }

    /// Where to note a file that was read.
    pub(super) fn read_files(&self) -> &RefCell<Vec<PathBuf>> {
        &self.files
    }

    pub(super) fn into_files(self) -> Vec<PathBuf> {
        self.files.into_inner()
    }

    /// A bearer token, to be shown or to be expected.
    pub(super) fn token(&self, node: &Node<'_>) -> Option<Secret> {
        let secret = self.read(node)?;
        let length = secret.0.len();
        if !(TOKEN_CHARS_MIN..=TOKEN_CHARS_MAX).contains(&length) {
            node.fault(
                &format!("a secret of {length} characters"),
                format!("{TOKEN_CHARS_MIN} to {TOKEN_CHARS_MAX} characters"),
            );
            return None;
        }
        if !secret.0.bytes().all(|b| b.is_ascii_graphic()) {
            node.fault(
                "a secret that no Authorization header can carry",
                "letters, digits and signs of ASCII, no spaces",
            );
            return None;
        }
        Some(secret)
    }

    /// The SHA-256 of a token that is expected: of one that is read, or as it stands in the file (`onward token` makes both).
    pub(super) fn token_hash(&self, node: &Node<'_>) -> Option<TokenHash> {
        const HASH: &str = "the SHA-256 of a token, 64 of 0-9 and a-f, as onward token gives it";
        let is_hash = !node.is_text() && node.has("sha256");
        if !is_hash {
            return self.token(node).map(|token| TokenHash::of(token.reveal()));
        }
        let mut table = node.table(ALLOWED)?;
        let found = table.need("sha256", HASH);
        table.finish();
        let found = found?;
        let hash = found.text(HASH).and_then(TokenHash::of_hex);
        if hash.is_none() {
            // perhaps the token itself: not repeated
            found.fault("something else", HASH);
        }
        hash
    }

    /// A password: anything that is not empty.
    pub(super) fn password(&self, node: &Node<'_>) -> Option<Secret> {
        self.read(node)
    }

    /// The text a secret refers to, without the line break that ends a file. No fault repeats it.
    fn read(&self, node: &Node<'_>) -> Option<Secret> {
        if node.is_text() {
            node.fault(
                "the secret itself",
                format!("{ALLOWED}, so that no secret stands in a file that is passed around"),
            );
            return None;
        }
        let mut table = node.table(ALLOWED)?;
        let (env, file) = (table.get("env"), table.get("file"));
        table.finish();
        let text = match (env, file) {
            (Some(env), None) => self.of_variable(&env),
            (None, Some(file)) => self.of_file(&file),
            (Some(_), Some(_)) => {
                node.fault("both env and file", ALLOWED);
                None
            }
            (None, None) => {
                node.fault("neither env nor file", ALLOWED);
                None
            }
        }?;
        if text.is_empty() {
            node.fault("an empty secret", ALLOWED);
            return None;
        }
        Some(Secret::of(text))
    }

    fn of_variable(&self, node: &Node<'_>) -> Option<String> {
        let allowed = "the name of an environment variable: letters, digits and _";
        let name = node.text(allowed)?;
        if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
            node.fault("something else", allowed); // perhaps the secret itself: not repeated
            return None;
        }
        let text = self.env.get(name);
        if text.is_none() {
            node.fault(&format!("{}, which is not set", named(name)), "an environment variable that is set");
        }
        text.map(str::to_owned)
    }

    fn of_file(&self, node: &Node<'_>) -> Option<String> {
        let path = self.folder.join(node.text("the path of a file")?);
        match std::fs::read_to_string(&path) {
            Ok(text) => {
                let text = Zeroizing::new(text);
                let line = text.strip_suffix('\n').unwrap_or(&text);
                let line = line.strip_suffix('\r').unwrap_or(line).to_owned();
                self.files.borrow_mut().push(path);
                Some(line)
            }
            Err(error) => {
                node.fault(
                    &format!("a file that cannot be read ({error})"),
                    "a readable file, looked for beside onward.toml",
                );
                None
            }
        }
    }
}

/// A variable's name is told only where it looks like one, in capitals: a token may be all letters and digits, too.
fn named(name: &str) -> &str {
    if name.bytes().any(|b| b.is_ascii_lowercase()) { "a variable" } else { name }
}
