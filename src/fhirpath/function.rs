//! The functions that an expression may call, with how many arguments each takes.

/// The names as they are written, what each is here, and how many arguments it takes at least and at most.
macro_rules! functions {
    ($($name:literal $variant:ident $least:literal $most:literal)*) => {
        /// A function.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub(super) enum Function { $($variant),* }

        impl Function {
            /// The function of this name.
            pub(super) fn named(name: &str) -> Option<Self> {
                Some(match name { $($name => Self::$variant,)* _ => return None })
            }

            /// How it is called.
            pub(super) fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }

            /// How many arguments it takes.
            pub(super) fn arguments(self) -> std::ops::RangeInclusive<usize> {
                match self { $(Self::$variant => $least..=$most),* }
            }

            /// All of them.
            #[cfg(test)]
            pub(super) const ALL: &'static [Self] = &[$(Self::$variant),*];
        }
    };
}

functions! {
    // existence
    "empty" Empty 0 0
    "exists" Exists 0 1
    "all" All 1 1
    "allTrue" AllTrue 0 0
    "anyTrue" AnyTrue 0 0
    "allFalse" AllFalse 0 0
    "anyFalse" AnyFalse 0 0
    "subsetOf" SubsetOf 1 1
    "supersetOf" SupersetOf 1 1
    "count" Count 0 0
    "distinct" Distinct 0 0
    "isDistinct" IsDistinct 0 0
    "not" Not 0 0
    // filtering, projecting
    "where" Where 1 1
    "select" Select 1 1
    "repeat" Repeat 1 1
    "aggregate" Aggregate 1 2
    "sort" Sort 0 8
    // parts of a collection
    "single" Single 0 0
    "first" First 0 0
    "last" Last 0 0
    "tail" Tail 0 0
    "skip" Skip 1 1
    "take" Take 1 1
    "intersect" Intersect 1 1
    "exclude" Exclude 1 1
    // joining
    "union" Union 1 1
    "combine" Combine 1 1
    // converting
    "iif" Iif 2 3
    "toBoolean" ToBoolean 0 0
    "convertsToBoolean" ConvertsToBoolean 0 0
    "toInteger" ToInteger 0 0
    "convertsToInteger" ConvertsToInteger 0 0
    "toDate" ToDate 0 0
    "convertsToDate" ConvertsToDate 0 0
    "toDateTime" ToDateTime 0 0
    "convertsToDateTime" ConvertsToDateTime 0 0
    "toTime" ToTime 0 0
    "convertsToTime" ConvertsToTime 0 0
    "toDecimal" ToDecimal 0 0
    "convertsToDecimal" ConvertsToDecimal 0 0
    "toQuantity" ToQuantity 0 1
    "convertsToQuantity" ConvertsToQuantity 0 1
    "toString" ToText 0 0
    "convertsToString" ConvertsToText 0 0
    // texts
    "indexOf" IndexOf 1 1
    "lastIndexOf" LastIndexOf 1 1
    "substring" Substring 1 2
    "startsWith" StartsWith 1 1
    "endsWith" EndsWith 1 1
    "contains" Contains 1 1
    "upper" Upper 0 0
    "lower" Lower 0 0
    "replace" Replace 2 2
    "matches" Matches 1 1
    "matchesFull" MatchesFull 1 1
    "replaceMatches" ReplaceMatches 2 2
    "length" Length 0 0
    "toChars" ToChars 0 0
    "trim" Trim 0 0
    "split" Split 1 1
    "join" Join 0 1
    "encode" Encode 1 1
    "decode" Decode 1 1
    "escape" Escape 1 1
    "unescape" Unescape 1 1
    // numbers
    "abs" Abs 0 0
    "ceiling" Ceiling 0 0
    "exp" Exp 0 0
    "floor" Floor 0 0
    "ln" Ln 0 0
    "log" Log 1 1
    "power" Power 1 1
    "round" Round 0 1
    "sqrt" Sqrt 0 0
    "truncate" Truncate 0 0
    "lowBoundary" LowBoundary 0 1
    "highBoundary" HighBoundary 0 1
    "precision" Precision 0 0
    "comparable" Comparable 1 1
    // the tree
    "children" Children 0 0
    "descendants" Descendants 0 0
    "type" Type 0 0
    // beside all this
    "trace" Trace 1 2
    "now" Now 0 0
    "today" Today 0 0
    "timeOfDay" TimeOfDay 0 0
    // what FHIR adds
    "extension" Extension 1 1
    "hasValue" HasValue 0 0
    "getValue" GetValue 0 0
    "resolve" Resolve 0 0
    "memberOf" MemberOf 1 1
    "subsumes" Subsumes 1 1
    "subsumedBy" SubsumedBy 1 1
    "conformsTo" ConformsTo 1 1
    "htmlChecks" HtmlChecks 0 0
    "elementDefinition" ElementDefinition 0 0
    "slice" Slice 2 2
    "checkModifiers" CheckModifiers 1 16
}
