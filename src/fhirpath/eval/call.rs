//! Calling functions: those that evaluate their arguments for each item are here, the others are handed what theirs yield.

use super::{
    super::{
        Collection, EvalError, Item, Node,
        ast::Expr,
        convert, equal,
        function::Function,
        moment::{Moment, Sort},
        numbers, resolve, sets, texts,
    },
    Outcome, Run, Scope, single, truth, whole,
};

impl<'a> Run<'a, '_> {
    pub(super) fn call(&mut self, expr: &'a Expr, scope: Scope<'a, '_>) -> Outcome<Collection<'a>> {
        let Expr::Call { on, function, arguments, pattern } = expr else { return Ok(Collection::EMPTY) };
        let of_resource = *function == Function::Descendants
            && matches!(on.as_deref(), Some(Expr::Variable(name)) if &**name == "resource");
        if let Some(found) = self.descendants.as_ref().filter(|_| of_resource) {
            // whatever is done with it looks at all of it
            self.budget.spend(found.len() / 8)?;
            return Ok(found.clone());
        }
        let on = self.input(on.as_deref(), scope)?;
        let function = *function;
        let what = function.name();
        let first = arguments.first();
        Ok(match function {
            Function::Empty => Collection::truth(Some(on.is_empty())),
            Function::Exists => match first {
                None => Collection::truth(Some(!on.is_empty())),
                Some(test) => Collection::truth(Some(self.any(&on, test, scope, Some(true))?)),
            },
            Function::All => match first {
                Some(test) => {
                    let mut all = true;
                    for (index, item) in on.iter().enumerate() {
                        if self.test(test, item, index, scope, what)? != Some(true) {
                            all = false;
                            break;
                        }
                    }
                    Collection::truth(Some(all))
                }
                None => Collection::EMPTY,
            },
            Function::AllTrue | Function::AnyTrue | Function::AllFalse | Function::AnyFalse => booleans(&on, function)?,
            Function::Not => Collection::truth(truth(&on, what)?.map(|value| !value)),
            Function::Count => Collection::one(whole(on.len())),
            Function::Distinct => sets::distinct(on, &mut self.budget)?,
            Function::IsDistinct => {
                let all = on.len();
                Collection::truth(Some(sets::distinct(on, &mut self.budget)?.len() == all))
            }
            Function::Where | Function::Select | Function::Repeat | Function::Aggregate | Function::Sort => {
                self.projection(on, function, arguments, scope)?
            }
            Function::Single => single(&on, what)?.cloned().into(),
            Function::First => on.as_slice().first().cloned().into(),
            Function::Last => on.as_slice().last().cloned().into(),
            Function::Tail => on.into_iter().skip(1).collect(),
            Function::Iif => self.iif(on, arguments, scope)?,
            Function::Children => self.all_children(&on)?,
            Function::Descendants => {
                let mut found = Collection::EMPTY;
                for item in &on {
                    if let Item::Node(node) = item {
                        self.descend(node, &mut found)?;
                    }
                }
                if of_resource {
                    found = found.shared();
                    self.descendants = Some(found.clone());
                }
                found
            }
            Function::Type => {
                on.iter().map(|item| item.type_name()).map(|(space, name)| Item::Type(space, name)).collect()
            }
            Function::Trace => {
                let mut told = Collection::EMPTY;
                match arguments.get(1) {
                    None => self.context.hooks.trace(&self.name_given(first, scope)?, on.as_slice()),
                    Some(show) => {
                        for (index, item) in on.iter().enumerate() {
                            let shown = self.eval(show, Scope { this: item, index: Some(index), ..scope })?;
                            told = self.combine(told, shown)?;
                        }
                        self.context.hooks.trace(&self.name_given(first, scope)?, told.as_slice());
                    }
                }
                on
            }
            Function::Now => Collection::one(Item::Moment(Moment::of(Sort::DateTime, self.context.now))),
            Function::Today => Collection::one(Item::Moment(Moment::of(Sort::Date, self.context.now))),
            Function::TimeOfDay => Collection::one(Item::Moment(Moment::of(Sort::Time, self.context.now))),
            Function::HasValue => {
                let value = |item: &Item<'a>| match item {
                    Item::Node(node) => node.value.is_some_and(|value| !value.is_object()),
                    _ => true,
                };
                Collection::truth(Some(matches!(on.as_slice(), [item] if value(item))))
            }
            Function::GetValue => match on.as_slice() {
                [Item::Node(node)] => node.primitive().into(),
                [item] => Collection::one(item.clone()),
                _ => Collection::EMPTY,
            },
            Function::Resolve => {
                let mut found = Collection::EMPTY;
                for item in &on {
                    if let Some(resource) = resolve::resolve(item, self.context, &mut self.budget)? {
                        self.add(&mut found, resource)?;
                    }
                }
                found
            }
            _ => self.plain(on, function, arguments, pattern.as_ref().map(|pattern| &pattern.0), scope)?,
        })
    }

    /// Functions whose arguments are evaluated once.
    fn plain(
        &mut self,
        on: Collection<'a>,
        function: Function,
        arguments: &'a [Expr],
        pattern: Option<&regex::Regex>,
        scope: Scope<'a, '_>,
    ) -> Outcome<Collection<'a>> {
        let what = function.name();
        let mut given = [Collection::EMPTY, Collection::EMPTY];
        for (slot, argument) in given.iter_mut().zip(arguments) {
            *slot = self.eval(argument, scope)?;
        }
        let [first, second] = given;
        match function {
            Function::Skip | Function::Take => {
                let Some(n) = single(&first, what)? else { return Ok(Collection::EMPTY) };
                let Item::Integer(n) = n.value() else { return Err(EvalError::WrongType { what }) };
                let n = usize::try_from(n).unwrap_or(0);
                Ok(if function == Function::Skip {
                    on.into_iter().skip(n).collect()
                } else {
                    on.into_iter().take(n).collect()
                })
            }
            Function::SubsetOf => Ok(Collection::truth(Some(sets::is_subset(&on, &first, &mut self.budget)?))),
            Function::SupersetOf => Ok(Collection::truth(Some(sets::is_subset(&first, &on, &mut self.budget)?))),
            Function::Intersect => sets::common(on, &first, true, &mut self.budget),
            Function::Exclude => sets::common(on, &first, false, &mut self.budget),
            Function::Union => self.union(on, first),
            Function::Combine => self.combine(on, first),
            Function::Extension => {
                let Some(url) = single(&first, what)?.and_then(Item::text) else { return Ok(Collection::EMPTY) };
                let extensions = self.children(&on, "extension")?;
                let is = |item: &Item<'a>| match item {
                    Item::Node(node) => {
                        node.value.and_then(|value| value.get("url")).and_then(|url| url.as_str()) == Some(&*url)
                    }
                    _ => false,
                };
                Ok(extensions.into_iter().filter(is).collect())
            }
            Function::MemberOf | Function::ConformsTo | Function::HtmlChecks => self.asked(&on, function, &first),
            Function::Subsumes
            | Function::SubsumedBy
            | Function::ElementDefinition
            | Function::Slice
            | Function::CheckModifiers => Err(EvalError::NotHere { what }),
            Function::Abs
            | Function::Ceiling
            | Function::Exp
            | Function::Floor
            | Function::Ln
            | Function::Log
            | Function::Power
            | Function::Round
            | Function::Sqrt
            | Function::Truncate
            | Function::LowBoundary
            | Function::HighBoundary
            | Function::Precision
            | Function::Comparable => Ok(numbers::call(function, &on, &first)?.into()),
            Function::IndexOf
            | Function::LastIndexOf
            | Function::Substring
            | Function::StartsWith
            | Function::EndsWith
            | Function::Contains
            | Function::Upper
            | Function::Lower
            | Function::Replace
            | Function::Matches
            | Function::MatchesFull
            | Function::ReplaceMatches
            | Function::Length
            | Function::ToChars
            | Function::Trim
            | Function::Split
            | Function::Join
            | Function::Encode
            | Function::Decode
            | Function::Escape
            | Function::Unescape => {
                let given = texts::Given {
                    first: arguments.first().map(|_| &first),
                    second: arguments.get(1).map(|_| &second),
                    pattern,
                };
                texts::call(function, &on, &given, &mut self.budget)
            }
            _ => convert::call(function, &on, &first),
        }
    }

    /// Questions to the hooks.
    fn asked(&mut self, on: &Collection<'a>, function: Function, first: &Collection<'a>) -> Outcome<Collection<'a>> {
        let what = function.name();
        let Some(item) = single(on, what)? else { return Ok(Collection::EMPTY) };
        let hooks = self.context.hooks;
        let url = single(first, what)?.and_then(Item::text);
        let answer = match (function, item, url) {
            (Function::HtmlChecks, item, _) => item.text().and_then(|div| hooks.html_checks(&div)),
            (Function::MemberOf, item, Some(url)) => hooks.member_of(item, &url),
            (Function::ConformsTo, Item::Node(node), Some(url)) => hooks.conforms_to(*node, &url),
            _ => return Ok(Collection::EMPTY),
        };
        answer.map(|answer| Collection::truth(Some(answer))).ok_or(EvalError::NotHere { what })
    }

    fn name_given(&mut self, name: Option<&'a Expr>, scope: Scope<'a, '_>) -> Outcome<String> {
        let Some(name) = name else { return Ok(String::new()) };
        let name = self.eval(name, scope)?;
        Ok(single(&name, "trace")?.map(ToString::to_string).unwrap_or_default())
    }

    /// What a condition is for one item.
    fn test(
        &mut self,
        test: &'a Expr,
        item: &Item<'a>,
        index: usize,
        scope: Scope<'a, '_>,
        what: &'static str,
    ) -> Outcome<Option<bool>> {
        let found = self.eval(test, Scope { this: item, index: Some(index), ..scope })?;
        truth(&found, what)
    }

    fn any(
        &mut self,
        on: &Collection<'a>,
        test: &'a Expr,
        scope: Scope<'a, '_>,
        wanted: Option<bool>,
    ) -> Outcome<bool> {
        for (index, item) in on.iter().enumerate() {
            if self.test(test, item, index, scope, "exists")? == wanted {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn projection(
        &mut self,
        on: Collection<'a>,
        function: Function,
        arguments: &'a [Expr],
        scope: Scope<'a, '_>,
    ) -> Outcome<Collection<'a>> {
        if function == Function::Sort {
            return self.sort(on, arguments, scope);
        }
        let Some(by) = arguments.first() else { return Ok(Collection::EMPTY) };
        let mut found = Collection::EMPTY;
        match function {
            Function::Where => {
                for (index, item) in on.into_iter().enumerate() {
                    if self.test(by, &item, index, scope, "where")? == Some(true) {
                        found.push(item);
                    }
                }
            }
            Function::Select => {
                for (index, item) in on.iter().enumerate() {
                    let part = self.eval(by, Scope { this: item, index: Some(index), ..scope })?;
                    found = self.combine(found, part)?;
                }
            }
            Function::Repeat => {
                let mut seen = sets::Set::default();
                let mut next = on;
                while !next.is_empty() {
                    let mut new = Collection::EMPTY;
                    for (index, item) in next.iter().enumerate() {
                        let part = self.eval(by, Scope { this: item, index: Some(index), ..scope })?;
                        for item in part {
                            if seen.insert(&item, &mut self.budget)? {
                                self.add(&mut found, item.clone())?;
                                new.push(item);
                            }
                        }
                    }
                    next = new;
                }
            }
            _ => {
                if let Some(start) = arguments.get(1) {
                    found = self.eval(start, scope)?;
                }
                for (index, item) in on.iter().enumerate() {
                    found = self.eval(by, Scope { this: item, index: Some(index), total: Some(&found) })?;
                }
            }
        }
        Ok(found)
    }

    fn iif(&mut self, on: Collection<'a>, arguments: &'a [Expr], scope: Scope<'a, '_>) -> Outcome<Collection<'a>> {
        let [test, yes, rest @ ..] = arguments else { return Ok(Collection::EMPTY) };
        let on = single(&on, "iif")?;
        let scope = Scope { this: on.unwrap_or(scope.this), ..scope };
        let test = self.eval(test, scope)?;
        match (truth(&test, "iif")?, rest.first()) {
            (Some(true), _) => self.eval(yes, scope),
            (_, Some(no)) => self.eval(no, scope),
            (_, None) => Ok(Collection::EMPTY),
        }
    }

    /// In the order of what the arguments yield for each item; a minus before one turns it round. What has none comes
    /// first either way, as HL7's suite has it.
    fn sort(&mut self, on: Collection<'a>, arguments: &'a [Expr], scope: Scope<'a, '_>) -> Outcome<Collection<'a>> {
        let mut keyed = Vec::with_capacity(on.len());
        for (index, item) in on.into_iter().enumerate() {
            let mut keys = Vec::with_capacity(arguments.len());
            for by in arguments {
                let by = if let Expr::Negative(by) = by { by } else { by };
                let key = self.eval(by, Scope { this: &item, index: Some(index), ..scope })?;
                keys.push(single(&key, "sort")?.cloned());
            }
            if arguments.is_empty() {
                keys.push(Some(item.clone()));
            }
            keyed.push((keys, item));
        }
        self.budget.spend(keyed.len().saturating_mul(8))?;
        let mut wrong = None;
        keyed.sort_by(|(a, _), (b, _)| {
            for (n, pair) in a.iter().zip(b).enumerate() {
                let down = matches!(arguments.get(n), Some(Expr::Negative(_)));
                let order = match pair {
                    (Some(a), Some(b)) => match equal::order(a, b, "sort") {
                        Ok(order) => order.map(|order| if down { order.reverse() } else { order }),
                        Err(error) => {
                            wrong = Some(error);
                            None
                        }
                    },
                    (a, b) => Some(a.is_some().cmp(&b.is_some())),
                };
                if let Some(order) = order.filter(|order| order.is_ne()) {
                    return order;
                }
            }
            std::cmp::Ordering::Equal
        });
        match wrong {
            Some(error) => Err(error),
            None => Ok(keyed.into_iter().map(|(_, item)| item).collect()),
        }
    }

    fn all_children(&mut self, on: &Collection<'a>) -> Outcome<Collection<'a>> {
        let mut found = Collection::EMPTY;
        for item in on {
            if let Item::Node(node) = item {
                node.each(&mut |child| self.add(&mut found, Item::Node(child)))?;
            }
        }
        Ok(found)
    }

    fn descend(&mut self, node: &Node<'a>, found: &mut Collection<'a>) -> Outcome<()> {
        self.budget.deeper()?;
        node.each(&mut |child| {
            self.add(found, Item::Node(child))?;
            self.descend(&child, found)
        })?;
        self.budget.up();
        Ok(())
    }
}

fn booleans<'a>(on: &Collection<'a>, function: Function) -> Outcome<Collection<'a>> {
    let what = function.name();
    let (wanted, all) = match function {
        Function::AllTrue => (true, true),
        Function::AnyTrue => (true, false),
        Function::AllFalse => (false, true),
        _ => (false, false),
    };
    let mut found = all;
    for item in on {
        let Item::Boolean(value) = item.value() else { return Err(EvalError::WrongType { what }) };
        if (value == wanted) != all {
            found = !all;
        }
    }
    Ok(Collection::truth(Some(found)))
}
