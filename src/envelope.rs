//! The envelope of mail that another program took in for us.

/// Whom a message came from and whom it was for, as the SMTP conversation said: for
/// [`Mailer::receive`](crate::Mailer::receive).
///
/// The recipients are those of RCPT TO, not of the To field: only they prove anything.
///
/// ```
/// use returnpath::Envelope;
///
/// let envelope = Envelope::to("b-aeaaaaaaaaaaa@b.example.org").from("");
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Envelope {
    pub(crate) sender: String,
    pub(crate) recipients: Vec<String>,
}

impl Envelope {
    /// An envelope with one recipient and the null sender.
    pub fn to(recipient: impl Into<String>) -> Envelope {
        Envelope { sender: String::new(), recipients: vec![recipient.into()] }
    }

    /// Adds a recipient.
    pub fn and_to(mut self, recipient: impl Into<String>) -> Envelope {
        self.recipients.push(recipient.into());
        self
    }

    /// Sets the sender; empty is the null sender.
    pub fn from(mut self, sender: impl Into<String>) -> Envelope {
        self.sender = sender.into();
        self
    }
}
