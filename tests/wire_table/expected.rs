use std::collections::BTreeMap;

use keygate_tests::Answer;
use serde_json::{Value, json};

use crate::{
    answered::Answered,
    files::problems,
    row::{Problem, Row},
    template::Template,
};

/// Fields that are the framework's own, of which the table says nothing, and why.
const FRAMEWORKS_OWN: [(&str, &str); 3] = [
    ("date", "a server reads its clock"),
    ("connection", "a server says how a connection goes on"),
    ("allow", "a router knows its methods"),
];

/// What must be answered, but for what is the framework's own.
#[derive(Debug)]
pub(crate) struct Expected {
    status: u16,
    /// Templates, by name.
    fields: BTreeMap<String, String>,
    body: Option<Body>,
    is_of_head: bool,
}

#[derive(Debug)]
enum Body {
    Json(Value),
    Text(String),
}

impl Expected {
    #[track_caller]
    pub(crate) fn of(answered: &Answered) -> Self {
        let row = &answered.row;
        let mut expected = match &row.refused {
            Some(code) => {
                let problem = problems().remove(code).unwrap_or_else(|| panic!("no code `{code}`"));
                if row.grpc { Self::status(&problem) } else { Self::refusal(row, code, &problem) }
            }
            None => Self::answer(row, answered),
        };
        expected.fields.extend(row.fields.clone());
        expected.is_of_head = row.is_head();
        if expected.is_of_head {
            expected.body = Some(Body::Text(String::new()));
        }
        expected
    }

    fn refusal(row: &Row, code: &str, problem: &Problem) -> Self {
        let Problem { status, r#type, title, detail, challenge, .. } = problem;
        let detail = row.detail.as_ref().unwrap_or(detail);
        let mut body = json!({
            "type": r#type, "title": title, "status": status, "detail": detail, "code": code,
        });
        if !row.violated.is_empty() {
            body["violated-policies"] = json!(row.violated);
        }
        let media = ("content-type".to_owned(), "application/problem+json".to_owned());
        let scope = row.scope.as_deref().unwrap_or_default();
        let challenge = challenge.iter().map(|it| it.replace("{scope}", scope));
        let challenge = challenge.map(|challenge| ("www-authenticate".to_owned(), challenge));
        let fields = challenge.chain([media]).collect();
        Self { status: *status, fields, body: Some(Body::Json(body)), is_of_head: false }
    }

    /// A refusal in terms of gRPC.
    fn status(problem: &Problem) -> Self {
        let fields =
            [("grpc-status", problem.grpc.to_string()), ("grpc-message", problem.detail.clone())];
        let fields = fields.map(|(name, value)| (name.to_owned(), value)).into();
        Self { status: 200, fields, body: Some(Body::Text(String::new())), is_of_head: false }
    }

    fn answer(row: &Row, answered: &Answered) -> Self {
        let json = |json: &Value| {
            let text = answered.words.filled(&json.to_string());
            Body::Json(serde_json::from_str(&text).expect("still JSON"))
        };
        let text = |text: &String| Body::Text(answered.words.filled(text));
        let body = row.json.as_ref().map(json).or_else(|| row.text.as_ref().map(text));
        Self {
            status: row.status.expect("a status, or a refusal"),
            fields: BTreeMap::new(),
            body,
            is_of_head: false,
        }
    }

    /// What is not as expected, a line each.
    pub(crate) fn faults_of(&self, answer: &Answer) -> Vec<String> {
        let mut faults = Vec::new();
        if answer.status != self.status {
            faults.push(format!("  status {}, not {}", answer.status, self.status));
        }
        let mut fields = told(answer);
        // What the table says of the body it says of its length.
        if let Some(length) = fields.remove("content-length")
            && length != answer.body.len().to_string()
            && !self.is_of_head
        {
            faults.push(format!("  content-length: {length}, of {} bytes", answer.body.len()));
        }
        faults.extend(fields_faults(&self.fields, fields));
        let text = String::from_utf8_lossy(&answer.body);
        let (fits, due) = match &self.body {
            None => (true, String::new()),
            Some(Body::Text(due)) => (*due == text, format!("{due:?}")),
            Some(Body::Json(due)) => {
                (serde_json::from_str(&text).is_ok_and(|told: Value| told == *due), due.to_string())
            }
        };
        if !fits {
            faults.push(format!("  body {text}, not {due}"));
        }
        faults
    }
}

/// Where fields are not those of these templates, a line each.
pub(crate) fn fields_faults(
    templates: &BTreeMap<String, String>,
    mut fields: BTreeMap<String, String>,
) -> Vec<String> {
    let mut faults = Vec::new();
    for (name, template) in templates {
        match fields.remove(name) {
            Some(value) if Template(template).fits(&value) => {}
            Some(value) => faults.push(format!("  {name}: {value}, not {template}")),
            None => faults.push(format!("  no {name}, where {template} is due")),
        }
    }
    faults.extend(fields.iter().map(|(name, value)| format!("  {name}: {value} is not due")));
    faults
}

/// Two answers to one row that differ in more than the framework's own fields, but for numbers in which the
/// table leaves room.
pub(crate) fn difference(one: &Answered, other: &Answered) -> Option<String> {
    let (it, line) = (&one.row.it, &one.row.send);
    let [one, other] = [one, other].map(|it| it.answer.as_ref().map(|answer| seen(it, answer)));
    (one != other).then(|| format!("{it}\n  {line}\n  {one:?}\n  {other:?}"))
}

/// What one and the other door must answer alike, whatever the table says of it.
fn seen(answered: &Answered, answer: &Answer) -> (u16, BTreeMap<String, String>, String) {
    let templates = Expected::of(answered).fields;
    let alike = |(name, value): (String, String)| {
        let template = templates.get(&name).filter(|it| Template(it).fits(&value));
        let value = template.cloned().unwrap_or(value);
        (name, value)
    };
    let fields = told(answer).into_iter().map(alike).collect();
    (answer.status, fields, answered.words.veiled(&String::from_utf8_lossy(&answer.body)))
}

/// All fields but the framework's own. One that stands twice has two lines.
fn told(answer: &Answer) -> BTreeMap<String, String> {
    let own = |name: &str| FRAMEWORKS_OWN.iter().any(|(own, _)| *own == name);
    let names = answer.headers.keys().filter(|name| !own(name.as_str()));
    let lines = |name| {
        let values = answer.headers.get_all(name).iter();
        values.map(|value| String::from_utf8_lossy(value.as_bytes())).collect::<Vec<_>>()
    };
    names.map(|name| (name.to_string(), lines(name).join("\n"))).collect()
}
