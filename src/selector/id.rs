//! The short name of a selector, as Felix makes it.

use sha2::{Digest, Sha224};

/// What stands before the hash, and is hashed too.
const PREFIX: &str = "s:";
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Names the selector whose canonical text is `canonical`: 40 characters, safe in names of the kernel.
pub(super) fn id(canonical: &str) -> String {
    let hash = Sha224::new()
        .chain_update(PREFIX)
        .chain_update(canonical)
        .finalize();
    let mut id = String::from(PREFIX);
    push_base64url(&mut id, &hash);
    id
}

/// Appends `bytes` in the URL-safe alphabet of base64, without padding.
fn push_base64url(text: &mut String, bytes: &[u8]) {
    for chunk in bytes.chunks(3) {
        let mut group = [0; 4];
        group[1..=chunk.len()].copy_from_slice(chunk);
        let bits = u32::from_be_bytes(group);
        for digit in 0..=chunk.len() {
            let index = (bits >> (18 - 6 * digit)) & 0x3f;
            text.push(char::from(ALPHABET[index as usize]));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{id, push_base64url};

    fn base64url(bytes: &[u8]) -> String {
        let mut text = String::new();
        push_base64url(&mut text, bytes);
        text
    }

    #[test]
    fn base64url_of_known_bytes() {
        // RFC 4648, section 10, without the padding.
        assert_eq!(base64url(b""), "");
        assert_eq!(base64url(b"f"), "Zg");
        assert_eq!(base64url(b"fo"), "Zm8");
        assert_eq!(base64url(b"foo"), "Zm9v");
        assert_eq!(base64url(b"foob"), "Zm9vYg");
        assert_eq!(base64url(b"foobar"), "Zm9vYmFy");
        assert_eq!(base64url(&[0xfb, 0xff, 0xfe]), "-__-");
    }

    #[test]
    fn id_of_known_selectors() {
        // printf 's:all()' | openssl dgst -sha224 -binary | base64 | tr +/ -_ | tr -d =
        assert_eq!(id("all()"), "s:5y5I3VdRZfDU01O--xXAPx2yxCQQqMf0M6IWug");
        assert_eq!(id("a == \"b\""), "s:flMh0m0X_BowkAK_W3j3MgH8oQOsj3WxGDoXCQ");
    }
}
