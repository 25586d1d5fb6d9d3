//! Notifications that a sending service writes as JSON and mails on: a bounce with its recipients, or a delivery.

use serde_json::Value;

use crate::analysis::prose::Mention;
use crate::verdict::Outcome;

/// How many recipients are read.
const MAX_RECIPIENTS: usize = 50;

/// Reads a notification. `None` if the text is none.
pub(super) fn read(text: &str) -> Option<Vec<Mention>> {
    let text = text.trim_start();
    if !text.starts_with('{') {
        return None;
    }
    let kind = ["notificationType", "eventType"].iter().find_map(|name| value_of(text, name))?;
    match kind.as_str()? {
        "Bounce" => {
            let recipients = value_of(text, "bouncedRecipients")?;
            let bounced = recipients.as_array()?.iter().take(MAX_RECIPIENTS).map(|entry| {
                let field = |name: &str| entry.get(name).and_then(Value::as_str).unwrap_or_default();
                let (status, said) = (field("status"), field("diagnosticCode"));
                // The code stands in front where the reply has none; both speak of this recipient.
                let reason = if said.contains(status) { said.to_string() } else { format!("{status} {said}") };
                let outcome = if field("action") == "delayed" { Outcome::Delayed } else { Outcome::Failed };
                Mention { recipient: Some(field("emailAddress").to_string()), outcome, reason }
            });
            Some(bounced.filter(|mention| mention.recipient.as_ref().is_some_and(|name| name.contains('@'))).collect())
        }
        "Delivery" => {
            let delivery = value_of(text, "delivery")?;
            let reason = delivery.get("smtpResponse").and_then(Value::as_str).unwrap_or_default();
            let recipients = delivery.get("recipients")?.as_array()?.iter().take(MAX_RECIPIENTS);
            Some(
                recipients
                    .filter_map(Value::as_str)
                    .map(|address| Mention {
                        recipient: Some(address.to_string()),
                        outcome: Outcome::Delivered,
                        reason: reason.to_string(),
                    })
                    .collect(),
            )
        }
        _ => None,
    }
}

/// The first value with this name, whatever it stands in: the rest of a long notification may be cut off.
fn value_of(text: &str, name: &str) -> Option<Value> {
    let quoted = format!("\"{name}\":");
    let rest = text.get(text.find(&quoted)? + quoted.len()..)?;
    serde_json::Deserializer::from_str(rest).into_iter::<Value>().next()?.ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bounce_and_a_delivery_are_read_though_cut_off() {
        let bounce = "\n{\"notificationType\":\"Bounce\",\"bounce\":{\"bounceType\":\"Permanent\",\"bouncedRecipients\":[\
            {\"emailAddress\":\"ann@example.net\",\"action\":\"failed\",\"status\":\"5.1.1\",\"diagnosticCode\":\"smtp; 550 5.1.1 no\"},\
            {\"emailAddress\":\"bob@example.net\",\"status\":\"5.2.2\"}]},\"mail\":{\"headers\":[{\"na";
        let mentions = read(bounce).unwrap();
        assert_eq!(mentions.len(), 2);
        assert_eq!((mentions[0].recipient.as_deref(), mentions[0].outcome), (Some("ann@example.net"), Outcome::Failed));
        assert_eq!(mentions[1].reason.trim(), "5.2.2");
        let delivery = "{\"eventType\":\"Delivery\",\"delivery\":{\"recipients\":[\"ann@example.net\"],\"smtpResponse\":\"250 2.6.0 ok\"}}";
        assert_eq!(read(delivery).unwrap()[0].outcome, Outcome::Delivered);
        assert!(read("{\"notificationType\":\"Complaint\"}").is_none());
        assert!(read("notificationType").is_none());
        assert!(read("{\"notificationType\":\"Bounce\",\"bouncedRecipients\":[{").is_none());
    }
}
