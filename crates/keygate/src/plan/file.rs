//! Plans as TOML.

use std::{collections::BTreeMap, ops::Range};

use serde::Deserialize;
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{
    Limit, LimitBuilder, OnFailure, Partition, Plan, PlanError, PlanMistake, Plans, RateSpec,
};
use crate::{
    period::{self, AnchorDay, Period},
    scope::Scope,
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PlanFile {
    #[serde(default)]
    plans: BTreeMap<String, PlanTable>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PlanTable {
    #[serde(default)]
    scopes: Vec<Spanned<String>>,
    #[serde(default)]
    limits: Vec<Spanned<LimitTable>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LimitTable {
    name: String,
    rate: Option<String>,
    burst: Option<u64>,
    quota: Option<u64>,
    concurrency: Option<u64>,
    per: Option<String>,
    zone: Option<String>,
    anchor: Option<u8>,
    week_start: Option<String>,
    #[serde(default)]
    partition: Partition,
    #[serde(default)]
    operations: Vec<String>,
    on_failure: Option<OnFailure>,
}

pub(super) fn read(text: &str) -> Result<Plans, PlanError> {
    let file: PlanFile = toml::from_str(text).map_err(|error| locate(text, &error))?;
    let plans = file.plans.into_iter().map(|(name, table)| plan(text, &name, table));
    Plans::new(plans.collect::<Result<Vec<_>, _>>()?)
}

fn plan(text: &str, name: &str, table: PlanTable) -> Result<Plan, PlanError> {
    let mut lines = BTreeMap::new();
    let no_scope = table.scopes.iter().find(|scope| scope.get_ref().parse::<Scope>().is_err());
    let of_scopes = no_scope.map(|scope| line_of(text, scope.span().start));
    let mut builder = Plan::builder(name).scopes(table.scopes.into_iter().map(Spanned::into_inner));
    for spanned in table.limits {
        let line = line_of(text, spanned.span().start);
        let limit_table = spanned.into_inner();
        let limit_name = limit_table.name.clone();
        let limit = limit(limit_table).map_err(|mistake| PlanError {
            plan: Some(name.to_owned()),
            limit: Some(limit_name.clone()),
            line: Some(line),
            mistake: Box::new(mistake),
        })?;
        // A name that stands twice is the mistake of the later line.
        lines.insert(limit_name, line);
        builder = builder.limit(limit);
    }
    builder.build().map_err(|mut error| {
        error.line = match (error.limit(), error.mistake()) {
            (Some(limit), _) => lines.get(limit).copied(),
            (None, PlanMistake::Scope(_)) => of_scopes,
            (None, _) => line_of_plan(text, name),
        };
        error
    })
}

fn limit(table: LimitTable) -> Result<LimitBuilder, PlanMistake> {
    let builder = match (&table.rate, table.quota, table.concurrency) {
        (Some(rate), None, None) => {
            refuse_calendar_fields(
                &table,
                "a rate flows evenly and knows no calendar; only a `quota` does",
            )?;
            let spec = rate_spec(rate)?;
            let spec = table.burst.map_or(spec, |burst| spec.burst(burst));
            Limit::rate(table.name, spec)
        }
        (None, Some(amount), None) => {
            refuse_burst(&table, "a quota has no burst; add a `rate` limit beside it")?;
            let period = period(&table)?;
            Limit::quota(table.name, amount, period)
        }
        (None, None, Some(slots)) => {
            refuse_burst(&table, "a concurrency has no burst; add a `rate` limit beside it")?;
            refuse_calendar_fields(
                &table,
                "a slot comes back when its request ends; only a `quota` has a calendar",
            )?;
            Limit::concurrency(table.name, slots)
        }
        (None, None, None) => return Err(PlanMistake::Rule { given: "none" }),
        _ => return Err(PlanMistake::Rule { given: "several" }),
    };
    let builder = builder.partition(table.partition).operations(table.operations);
    Ok(match table.on_failure {
        Some(on_failure) => builder.on_failure(on_failure),
        None => builder,
    })
}

fn rate_spec(given: &str) -> Result<RateSpec, PlanMistake> {
    let parts = given.split_once('/').map(|(count, per)| (count.trim().parse(), per.trim()));
    match parts {
        Some((Ok(count), "s")) => Ok(RateSpec::per_second(count)),
        Some((Ok(count), "min")) => Ok(RateSpec::per_minute(count)),
        Some((Ok(count), "h")) => Ok(RateSpec::per_hour(count)),
        Some((Ok(count), "day")) => Ok(RateSpec::per_day(count)),
        _ => Err(PlanMistake::Value {
            field: "rate",
            given: given.to_owned(),
            expected: "a whole number and a unit of s, min, h or day, such as \"10/s\"",
        }),
    }
}

fn refuse_burst(table: &LimitTable, because: &'static str) -> Result<(), PlanMistake> {
    if table.burst.is_none() {
        return Ok(());
    }
    Err(PlanMistake::Misplaced { field: "burst", because })
}

fn refuse_calendar_fields(table: &LimitTable, because: &'static str) -> Result<(), PlanMistake> {
    let calendar = [
        ("per", table.per.is_some()),
        ("zone", table.zone.is_some()),
        ("anchor", table.anchor.is_some()),
        ("week_start", table.week_start.is_some()),
    ];
    match calendar.into_iter().find(|(_, given)| *given) {
        None => Ok(()),
        Some((field, _)) => Err(PlanMistake::Misplaced { field, because }),
    }
}

fn period(table: &LimitTable) -> Result<Period, PlanMistake> {
    let expected = "\"hour\", \"day\", \"week\" or \"month\"";
    let Some(per) = table.per.as_deref() else {
        let message = format!("field `per` is missing; a quota counts per {expected}");
        return Err(PlanMistake::Field(message));
    };
    if table.anchor.is_some() && per != "month" {
        let because = "only a month begins on an anchor day";
        return Err(PlanMistake::Misplaced { field: "anchor", because });
    }
    if table.week_start.is_some() && per != "week" {
        let because = "only a week begins on a weekday";
        return Err(PlanMistake::Misplaced { field: "week_start", because });
    }
    let period = match per {
        "hour" => Period::hour(),
        "day" => Period::day(),
        "week" => match table.week_start.as_deref() {
            None => Period::week(chrono::Weekday::Mon),
            Some(day) => Period::week(period::parse_weekday(day).map_err(|_| {
                let expected = "a weekday, such as \"monday\"";
                PlanMistake::Value { field: "week_start", given: day.to_owned(), expected }
            })?),
        },
        "month" => Period::month(AnchorDay::new(table.anchor.unwrap_or(1)).map_err(|_| {
            let given = table.anchor.unwrap_or_default().to_string();
            let expected = "a day from 1 to 31; short months clamp it to their last day";
            PlanMistake::Value { field: "anchor", given, expected }
        })?),
        given => {
            return Err(PlanMistake::Value { field: "per", given: given.to_owned(), expected });
        }
    };
    match table.zone.as_deref() {
        None => Ok(period),
        Some(zone) => Ok(period.in_zone(period::parse_zone(zone).map_err(|_| {
            let expected = "a zone of the IANA database, such as \"Europe/Paris\" or \"UTC\"";
            PlanMistake::Value { field: "zone", given: zone.to_owned(), expected }
        })?)),
    }
}

fn line_of_plan(text: &str, name: &str) -> Option<usize> {
    let document = DeTable::parse(text).ok()?;
    let plans = document.get_ref().get("plans")?.get_ref().as_table()?;
    let (name, _) = plans.get_key_value(name)?;
    Some(line_of(text, name.span().start))
}

fn line_of(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|&byte| byte == b'\n').count().saturating_add(1)
}

/// Turns an error of the TOML reader into one that names plan, limit and field: the reader knows
/// only an offset, and the document, read again without a form, tells what lies there.
fn locate(text: &str, error: &toml::de::Error) -> PlanError {
    let span = error.span().unwrap_or(0..0);
    let line = Some(line_of(text, span.start));
    let Ok(document) = DeTable::parse(text) else {
        let syntax = PlanMistake::Syntax(format!("not TOML: {}", error.to_string().trim_end()));
        return PlanError { plan: None, limit: None, line, mistake: Box::new(syntax) };
    };
    let place = Place::of(document.get_ref(), &span);
    let message = match (place.field, &place.plan) {
        (Some(field), _) => format!("field `{field}`: {}", error.message()),
        (None, Some(_)) => error.message().to_owned(),
        (None, None) => format!("line {}: {}", line_of(text, span.start), error.message()),
    };
    let mistake = Box::new(PlanMistake::Field(message));
    PlanError { plan: place.plan, limit: place.limit, line, mistake }
}

#[derive(Default)]
struct Place {
    plan: Option<String>,
    limit: Option<String>,
    field: Option<String>,
}

impl Place {
    fn of(document: &DeTable<'_>, at: &Range<usize>) -> Self {
        let Some(DeValue::Table(plans)) = document.get("plans").map(Spanned::get_ref) else {
            return Self::default();
        };
        // A table of several parts has no span of its own: it begins at its first key.
        let before = plans.iter().filter(|(name, _)| name.span().start <= at.start);
        let Some((name, plan)) = before.max_by_key(|(name, _)| name.span().start) else {
            return Self::default();
        };
        let mut place = Self { plan: Some(name.get_ref().to_string()), ..Self::default() };
        let DeValue::Table(fields) = plan.get_ref() else {
            return place;
        };
        place.field = field_at(fields, at);
        let Some(DeValue::Array(limits)) = fields.get("limits").map(Spanned::get_ref) else {
            return place;
        };
        let inside = |limit: &Spanned<DeValue<'_>>| covers(&limit.span(), at);
        if let Some((index, limit)) = limits.iter().enumerate().find(|(_, limit)| inside(limit)) {
            let name = limit.get_ref().get("name").and_then(|name| name.get_ref().as_str());
            let number = index.saturating_add(1);
            place.limit = Some(name.map_or_else(|| format!("#{number}"), str::to_owned));
            place.field = limit.get_ref().as_table().and_then(|fields| field_at(fields, at));
        }
        place
    }
}

fn field_at(table: &DeTable<'_>, at: &Range<usize>) -> Option<String> {
    let found = table.iter().find(|(_, value)| covers(&value.span(), at));
    found.map(|(key, _)| key.get_ref().to_string())
}

fn covers(outer: &Range<usize>, inner: &Range<usize>) -> bool {
    outer.start <= inner.start && inner.end <= outer.end
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(text: &str) -> String {
        Plans::from_toml(text).unwrap_err().to_string()
    }

    fn limit_message(limit: &str) -> String {
        message(&format!("[plans.free]\nlimits = [\n  {limit},\n]\n"))
    }

    #[test]
    fn the_documented_form_is_read_whole() {
        let plans = Plans::from_toml(
            r#"
            [plans.free]
            scopes = ["search:*", "orders:read"]
            limits = [
              { name = "burst",   rate = "10/s", burst = 20 },
              { name = "daily",   quota = 1000,  per = "day", zone = "Europe/Paris" },
              { name = "monthly", quota = 20000, per = "month", anchor = 15 },
              { name = "weekly",  quota = 20000, per = "week", week_start = "sunday" },
              { name = "search",  rate = "60/min", burst = 5, operations = ["search"], partition = "key", on_failure = "closed" },
              { name = "atonce",  concurrency = 10 },
            ]
            [plans.pro]
            "#,
        )
        .unwrap();
        assert_eq!(plans.names(), "free, pro");
        let free = plans.find("free").unwrap();
        assert_eq!(free.limits().len(), 6);
        assert_eq!(free.charges(None).len(), 5);
        let search = crate::plan::Name::parse("search").unwrap();
        let counted = free.charges(Some(&search));
        assert_eq!(counted.len(), 6);
        let at_once = counted.last().unwrap();
        assert_eq!((at_once.rule().capacity(), at_once.on_failure()), (10, OnFailure::Open));
        let search = &counted[4];
        assert_eq!((search.partition(), search.on_failure()), (Partition::Key, OnFailure::Closed));
        assert_eq!(search.rule().capacity(), 5);
    }

    #[test]
    fn every_mistake_names_plan_limit_field_and_what_is_right() {
        let cases = [
            (r#"{ name = "d", quota = 0, per = "day" }"#, "field `quota` is 0; give at least 1"),
            (r#"{ name = "d", rate = "0/s" }"#, "field `rate` is 0; give at least 1"),
            (r#"{ name = "d", rate = "1/s", burst = 0 }"#, "field `burst` is 0; give at least 1"),
            (
                r#"{ name = "d", rate = "10/sec" }"#,
                "field `rate` is `10/sec`; write a whole number",
            ),
            (r#"{ name = "d", rate = "1.5/s" }"#, "field `rate` is `1.5/s`; write a whole number"),
            (
                r#"{ name = "d", rate = "1/day", burst = 104250 }"#,
                "field `burst` is too large to count exactly; at most 104249",
            ),
            (
                r#"{ name = "d", quota = 9007199254740993, per = "day" }"#,
                "field `quota` is too large",
            ),
            (r#"{ name = "d", quota = 1 }"#, "field `per` is missing"),
            (r#"{ name = "d", quota = 1, per = "year" }"#, "field `per` is `year`; write \"hour\""),
            (
                r#"{ name = "d", quota = 1, per = "day", zone = "Paris" }"#,
                "field `zone` is `Paris`; write a zone",
            ),
            (
                r#"{ name = "d", quota = 1, per = "month", anchor = 32 }"#,
                "field `anchor` is `32`; write a day from 1 to 31",
            ),
            (
                r#"{ name = "d", quota = 1, per = "day", anchor = 3 }"#,
                "field `anchor` has no meaning here",
            ),
            (
                r#"{ name = "d", quota = 1, per = "day", week_start = "mon" }"#,
                "field `week_start` has no meaning",
            ),
            (
                r#"{ name = "d", quota = 1, per = "week", week_start = "moonday" }"#,
                "field `week_start` is `moonday`; write a weekday",
            ),
            (
                r#"{ name = "d", quota = 1, per = "day", burst = 3 }"#,
                "field `burst` has no meaning here",
            ),
            (r#"{ name = "d", rate = "1/s", zone = "UTC" }"#, "field `zone` has no meaning here"),
            (r#"{ name = "d", rate = "1/s", quota = 3 }"#, "this one has several"),
            (r#"{ name = "d", rate = "1/s", concurrency = 3 }"#, "this one has several"),
            (r#"{ name = "d" }"#, "this one has none"),
            (r#"{ name = "d", concurrency = 0 }"#, "field `concurrency` is 0; give at least 1"),
            (
                r#"{ name = "d", concurrency = 1, burst = 3 }"#,
                "field `burst` has no meaning here: a concurrency has no burst",
            ),
            (
                r#"{ name = "d", concurrency = 1, per = "day" }"#,
                "field `per` has no meaning here: a slot comes back",
            ),
            (
                r#"{ name = "d", rate = "1/s", brust = 3 }"#,
                "unknown field `brust`, expected one of",
            ),
            (
                r#"{ name = "d", quota = -1, per = "day" }"#,
                "field `quota`: invalid value: integer `-1`",
            ),
            (
                r#"{ name = "d", quota = "many", per = "day" }"#,
                "field `quota`: invalid type: string \"many\"",
            ),
            (
                r#"{ name = "d", rate = "1/s", partition = "team" }"#,
                "field `partition`: unknown variant `team`",
            ),
            (
                r#"{ name = "d", rate = "1/s", operations = ["a b"] }"#,
                "field `operations`: `a b` is no name",
            ),
        ];
        for (limit, expected) in cases {
            let message = limit_message(limit);
            assert!(message.starts_with("plan `free`, limit `d` (line 3): "), "{message}");
            assert!(message.contains(expected), "{message}\nlacks {expected}");
        }
    }

    #[test]
    fn a_limit_without_a_name_is_told_by_its_place() {
        let message = limit_message(r#"{ rate = "1/s" }"#);
        assert_eq!(message, "plan `free`, limit `#1` (line 3): missing field `name`");
    }

    #[test]
    fn a_name_given_twice_is_told_at_the_second() {
        let message =
            limit_message("{ name = \"d\", rate = \"1/s\" },\n{ name = \"d\", rate = \"2/s\" }");
        assert!(
            message.starts_with("plan `free`, limit `d` (line 4): field `name`: a limit of this")
        );
    }

    #[test]
    fn mistakes_outside_a_limit_are_told_too() {
        let unknown = message("[plans.free]\nscope = []\n");
        assert!(unknown.starts_with("plan `free` (line 2): unknown field `scope`"), "{unknown}");
        let second = message("[plans.free]\n[plans.pro]\nlimits = 3\n");
        assert!(
            second.starts_with("plan `pro` (line 3): field `limits`: invalid type"),
            "{second}"
        );
        let scope = message("[plans.free]\nscopes = [\n  \"a\",\n  \"a b\",\n]\n");
        assert!(
            scope.starts_with("plan `free` (line 4): field `scopes`: scope \"a b\""),
            "{scope}"
        );
        let name = message("[plans.free]\n[plans.\"a b\"]\n");
        assert!(name.starts_with("plan `a b` (line 2): field `plan`: `a b` is no name"), "{name}");
        let top = message("[plan.free]\n");
        assert!(top.starts_with("line 1: unknown field `plan`, expected `plans`"), "{top}");
        let syntax = message("[plans.free\n");
        assert!(syntax.starts_with("not TOML: "), "{syntax}");
    }

    #[test]
    fn more_limits_than_possible_are_refused() {
        let limits: String =
            (0..17).map(|n| format!("{{ name = \"n{n}\", rate = \"1/s\" }},")).collect();
        let message = message(&format!("\n[plans.free]\nlimits = [{limits}]"));
        let told = "plan `free` (line 2): field `limits` holds 17 limits; at most 16";
        assert!(message.starts_with(told), "{message}");
    }
}
