//! As much of protobuf's wire format as the messages of CRI need (protobuf.dev, «Encoding»):
//! numbers, and fields with a length. Which field is what stands beside its use, by the numbers of
//! `k8s.io/cri-api/pkg/apis/runtime/v1/api.proto`.

/// A message, encoded.
#[derive(Debug, Clone, Default)]
pub(crate) struct Message(Vec<u8>);

/// A field's wire type: varint, or length-delimited.
const VARINT: u64 = 0;
const LENGTH: u64 = 2;

impl Message {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn number(mut self, field: u64, number: u64) -> Self {
        self.varint(field << 3 | VARINT);
        self.varint(number);
        self
    }

    pub(crate) fn text(self, field: u64, text: &str) -> Self {
        self.bytes(field, text.as_bytes())
    }

    pub(crate) fn texts(self, field: u64, texts: &[&str]) -> Self {
        texts
            .iter()
            .fold(self, |message, text| message.text(field, text))
    }

    pub(crate) fn message(self, field: u64, inner: &Self) -> Self {
        self.bytes(field, &inner.0)
    }

    /// A `map<string, string>`: one message for each pair.
    pub(crate) fn map(self, field: u64, pairs: &[(&str, &str)]) -> Self {
        pairs.iter().fold(self, |all, (key, value)| {
            all.message(field, &Self::new().text(1, key).text(2, value))
        })
    }

    fn bytes(mut self, field: u64, bytes: &[u8]) -> Self {
        self.varint(field << 3 | LENGTH);
        self.varint(bytes.len() as u64);
        self.0.extend(bytes);
        self
    }

    fn varint(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.0.push(number.to_le_bytes()[0] | 0x80);
            number >>= 7;
        }
        self.0.push(number.to_le_bytes()[0]);
    }

    /// The call's body as gRPC frames it: not compressed, its length, itself.
    pub(crate) fn frame(&self) -> Vec<u8> {
        let length = u32::try_from(self.0.len()).expect("a short message");
        [&[0][..], &length.to_be_bytes(), &self.0].concat()
    }

    pub(crate) fn from_frame(frame: &[u8]) -> Self {
        Self(frame.get(5..).unwrap_or_default().to_vec())
    }

    /// A field that holds a message; the default one where it is left out, as protobuf says.
    pub(crate) fn inner(&self, field: u64) -> Self {
        Self(
            self.find(field)
                .map(|(_, bytes)| bytes.to_vec())
                .unwrap_or_default(),
        )
    }

    pub(crate) fn get_text(&self, field: u64) -> String {
        String::from_utf8_lossy(&self.inner(field).0).into_owned()
    }

    pub(crate) fn get_number(&self, field: u64) -> u64 {
        self.find(field)
            .map(|(number, _)| number)
            .unwrap_or_default()
    }

    /// The first field of that number: its number, or its bytes.
    fn find(&self, wanted: u64) -> Option<(u64, &[u8])> {
        let mut rest = &self.0[..];
        while !rest.is_empty() {
            let key = take_varint(&mut rest);
            let number = take_varint(&mut rest);
            let mut bytes = &[][..];
            match key & 7 {
                VARINT => {}
                LENGTH => (bytes, rest) = rest.split_at(usize::try_from(number).expect("a length")),
                other => panic!("wire type {other} is not used by CRI"),
            }
            if key >> 3 == wanted {
                return Some((number, bytes));
            }
        }
        None
    }
}

fn take_varint(rest: &mut &[u8]) -> u64 {
    let mut number = 0;
    for shift in (0..).step_by(7) {
        let (first, others) = rest.split_first().expect("a whole number");
        *rest = others;
        number |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            break;
        }
    }
    number
}
