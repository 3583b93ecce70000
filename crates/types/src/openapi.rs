//! What the types look like in an OpenAPI document.

use utoipa::openapi::schema::{KnownFormat, Object, ObjectBuilder, SchemaFormat, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::{
    Exchange, ExchangeTime, Expiry, ExpiryKind, InstrumentKey, Mode, OptionType, Price, Segment,
    Strike, Tier, Utc,
};

fn of(kind: Type, description: &str) -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(kind)
        .description(Some(description))
}

fn one_of<const N: usize>(description: &str, names: [&'static str; N]) -> Object {
    of(Type::String, description)
        .enum_values(Some(names))
        .build()
}

fn time(description: &str, example: &str) -> Object {
    of(Type::String, description)
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)))
        .examples([example])
        .build()
}

macro_rules! schemas {
    ($($name:ty => $schema:expr;)*) => {
        $(
            impl PartialSchema for $name {
                fn schema() -> RefOr<Schema> {
                    $schema.into()
                }
            }

            impl ToSchema for $name {}
        )*
    };
}

schemas! {
    Segment => one_of("A part of an exchange, as the broker divides them.", Self::ALL.map(Self::as_str));
    Exchange => one_of("An exchange.", Self::ALL.map(Self::as_str));
    OptionType => one_of("A call or a put.", [Self::Call.as_str(), Self::Put.as_str()]);
    Tier => one_of(
        "Tier B is always on; tier A may be evicted.",
        [Self::A.as_str(), Self::B.as_str()],
    );
    Mode => one_of(
        "How much of an instrument comes: its last price; the day's figures too; bid, ask and \
         depth too.",
        Self::ALL.map(Self::as_str),
    );
    ExpiryKind => one_of(
        "Whether an expiry is the last of its calendar month.",
        [Self::Monthly.as_str(), Self::Weekly.as_str()],
    );
    InstrumentKey => of(Type::String, "A segment and the security id inside it.")
        .pattern(Some("^[A-Z_]+:[0-9]+$"))
        .examples(["NSE_FNO:35060"])
        .build();
    Expiry => of(Type::String, "The day on which contracts expire.")
        .pattern(Some("^[0-9]{2}[A-Z]{3}[0-9]{4}$"))
        .examples(["24FEB2026"])
        .build();
    Price => of(Type::Number, "Rupees, exactly: at most four decimals.")
        .examples([1440.05])
        .build();
    Strike => of(Type::Number, "A strike in rupees.").examples([1440.0]).build();
    Utc => time("A time with milliseconds.", "2026-02-09T10:00:00.250+05:30");
    ExchangeTime => time(
        "When the exchange says that something happened, in whole seconds.",
        "2026-02-09T10:00:00+05:30",
    );
}
