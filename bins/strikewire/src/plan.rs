//! `strikewire plan`.

use std::collections::HashMap;
use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use comfy_table::Table;
use strikewire_gateway::{StandingPlan, plan_standing};
use strikewire_types::Price;

use crate::arguments::{Day, Format, load};
use crate::output::{Column, Output, grouped, table};
use crate::prices;

#[derive(Debug, Args)]
pub(crate) struct PlanArguments {
    /// The configuration of the server (TOML) [default: the defaults]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The instrument master in the compact layout, .csv or .csv.gz
    #[arg(long, value_name = "FILE")]
    instruments: PathBuf,
    /// Prices of underlyings: a JSON object of instruments and rupees, such as
    /// {"NIFTY": 25800, "CRUDEOIL_19FEB2026_FUT": 5750}; for others the middle of the nearest
    /// ladder is assumed
    #[arg(long, value_name = "FILE")]
    prices: Option<PathBuf>,
    #[command(flatten)]
    day: Day,
    #[command(flatten)]
    format: Format,
}

pub(crate) fn run(arguments: &PlanArguments) -> anyhow::Result<()> {
    let config = strikewired::Config::load(&strikewired::Args {
        config: arguments.config.clone(),
        instruments: Some(arguments.instruments.clone()),
        ..Default::default()
    })?;
    let registry = load(&arguments.instruments, arguments.day.get())?;
    let given = match &arguments.prices {
        Some(file) => prices::load(file, &registry)?,
        None => HashMap::new(),
    };
    let by_token: HashMap<String, Price> = given
        .into_iter()
        .filter_map(|(key, price)| Some((registry.by_key(key)?.token(), price)))
        .collect();
    let price = |token: &str| by_token.get(token).copied();
    // The day has not begun: what expires on it is still there.
    let plan = plan_standing(config.gateway(), &registry, &price, &|_| false)
        .context("the capacities of the configuration")?;
    let mut out = Output::new();
    if arguments.format.json {
        return out.json(&plan);
    }
    out.table(&totals(&plan))?;
    out.lines(&remarks(&plan))
}

fn totals(plan: &StandingPlan) -> Table {
    let all = grouped(plan.tier_b as u64);
    let mut rows = table(&[Column::Text("always on (tier B)"), Column::Number(&all)]);
    let mut add = |name: &str, count: usize| {
        rows.add_row([name.to_owned(), grouped(count as u64)]);
    };
    for (name, count) in [
        ("  index options", plan.index_options),
        ("  commodity options", plan.commodity_options),
        ("  other options", plan.other_options),
        ("  futures", plan.futures),
        ("  underlyings of options", plan.underlyings),
    ] {
        if count > 0 {
            add(name, count);
        }
    }
    add("windows and futures", plan.windows.len());
    add("left for tier A", plan.tier_a_room);
    for (connection, count) in &plan.by_connection {
        add(&format!("on connection {connection}"), *count);
    }
    add("messages", plan.messages);
    rows.add_row(["seconds to subscribe".to_owned(), plan.seconds.to_string()]);
    rows
}

fn remarks(plan: &StandingPlan) -> String {
    let mut text = String::new();
    for (title, lines) in [
        ("does not fit", &plan.does_not_fit),
        ("not listed", &plan.not_listed),
        ("assumed", &plan.assumed),
    ] {
        for line in lines {
            text += &format!("\n{title}: {line}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_person_reads() {
        let plan = StandingPlan {
            tier_b: 6_775,
            index_options: 6_768,
            futures: 1,
            underlyings: 6,
            tier_a_room: 18_225,
            by_connection: [(1, 3_400), (2, 3_375)].into(),
            messages: 69,
            seconds: 1.7,
            does_not_fit: vec!["NSE NIFTY 10FEB2026 options: full".into()],
            not_listed: vec!["SENSEXX".into()],
            assumed: vec!["NIFTY at 26000, the middle of its ladder of 10FEB2026".into()],
            ..StandingPlan::default()
        };
        let mut totals = totals(&plan);
        totals.force_no_tty();
        let expected = "\
always on (tier B)         6,775
  index options            6,768
  futures                      1
  underlyings of options       6
windows and futures            0
left for tier A           18,225
on connection 1            3,400
on connection 2            3,375
messages                      69
seconds to subscribe         1.7";
        assert_eq!(totals.trim_fmt(), expected);
        assert_eq!(
            remarks(&plan),
            "\ndoes not fit: NSE NIFTY 10FEB2026 options: full\
             \nnot listed: SENSEXX\
             \nassumed: NIFTY at 26000, the middle of its ladder of 10FEB2026"
        );
    }
}
