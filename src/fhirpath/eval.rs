//! Evaluating: expressions to collections.

mod call;

use super::{
    Collection, Context, EvalError, Item, Node, arithmetic,
    ast::{Expr, Operator, Typing},
    budget::{Budget, ITEMS_MAX},
    equal, sets,
};
use crate::definitions;

/// What evaluating a part yields.
pub(super) type Outcome<T> = Result<T, EvalError>;

/// One evaluation.
pub(super) struct Run<'a, 'c> {
    context: &'c Context<'a>,
    /// `%context`: what it is evaluated on.
    on: Node<'a>,
    budget: Budget,
    /// `%resource.descendants()`, which `dom-3` asks for again and again.
    descendants: Option<Collection<'a>>,
}

/// What `$this`, `$index` and `$total` are.
#[derive(Clone, Copy)]
pub(super) struct Scope<'a, 's> {
    this: &'s Item<'a>,
    index: Option<usize>,
    total: Option<&'s Collection<'a>>,
}

/// Evaluates an expression on an element.
pub(super) fn evaluate<'a>(expr: &'a Expr, on: Node<'a>, context: &Context<'a>) -> Outcome<Collection<'a>> {
    let mut run = Run { context, on, budget: Budget::new(context.steps), descendants: None };
    run.eval(expr, Scope { this: &Item::Node(on), index: None, total: None })
}

/// The same, and how many of the steps are left.
pub(super) fn evaluate_within<'a>(
    expr: &'a Expr,
    on: Node<'a>,
    context: &Context<'a>,
    left: &mut usize,
) -> Outcome<Collection<'a>> {
    let budget = Budget::new(context.steps);
    let given = budget.left();
    let mut run = Run { context, on, budget, descendants: None };
    let found = run.eval(expr, Scope { this: &Item::Node(on), index: None, total: None });
    // one that ended for want of steps has used them up
    let spent =
        if matches!(found, Err(EvalError::TooManySteps)) { given } else { given - run.budget.left().min(given) };
    *left = left.saturating_sub(spent);
    found
}

/// A collection as true or false; none where it is empty.
pub(super) fn truth(of: &Collection<'_>, what: &'static str) -> Outcome<Option<bool>> {
    match of.as_slice() {
        [] => Ok(None),
        [Item::Boolean(value)] => Ok(Some(*value)),
        [Item::Node(node)] => Ok(match node.value {
            Some(serde_json::Value::Bool(value)) => Some(*value),
            None if node.is_a("boolean") => None,
            _ => Some(true),
        }),
        [_] => Ok(Some(true)),
        _ => Err(EvalError::NotSingle { what }),
    }
}

/// The only item; none of nothing.
pub(super) fn single<'i, 'a>(of: &'i Collection<'a>, what: &'static str) -> Outcome<Option<&'i Item<'a>>> {
    match of.as_slice() {
        [] => Ok(None),
        [item] => Ok(Some(item)),
        _ => Err(EvalError::NotSingle { what }),
    }
}

// === impl Run ===

impl<'a> Run<'a, '_> {
    fn eval(&mut self, expr: &'a Expr, scope: Scope<'a, '_>) -> Outcome<Collection<'a>> {
        self.budget.spend(1)?;
        let item = match expr {
            Expr::Empty => return Ok(Collection::EMPTY),
            Expr::Boolean(value) => Item::Boolean(*value),
            Expr::Integer(value) => Item::Integer(*value),
            Expr::Decimal(value) => Item::Decimal(*value),
            Expr::Text(text) => Item::Text((&**text).into()),
            Expr::Moment(moment) => Item::Moment(*moment),
            Expr::Quantity { value, unit, calendar } => {
                let unit = unit.to_string();
                Item::Quantity(Box::new(super::Quantity { value: *value, unit, calendar: *calendar }))
            }
            Expr::This => scope.this.clone(),
            Expr::Index => return Ok(scope.index.map(whole).into()),
            Expr::Total => {
                self.budget.spend(scope.total.map_or(0, Collection::len))?;
                return Ok(scope.total.cloned().unwrap_or_default());
            }
            Expr::Variable(name) => return self.variable(name),
            Expr::Child { on: None, name } => return self.implied(name, scope),
            Expr::Child { on: Some(on), name } => {
                let on = self.eval(on, scope)?;
                return self.children(&on, name);
            }
            Expr::Call { .. } => return self.call(expr, scope),
            Expr::Typed { on, how, name } => {
                let on = self.input(on.as_deref(), scope)?;
                return typed(on, *how, name);
            }
            Expr::Item { on, index } => {
                let on = self.eval(on, scope)?;
                let index = self.eval(index, scope)?;
                let index = single(&index, "[]")?.map(Item::value);
                return Ok(match index {
                    None => None,
                    Some(Item::Integer(n)) => usize::try_from(n).ok().and_then(|n| on.into_iter().nth(n)),
                    Some(_) => return Err(EvalError::WrongType { what: "[]" }),
                }
                .into());
            }
            Expr::Negative(of) | Expr::Positive(of) => {
                let negative = matches!(expr, Expr::Negative(_));
                let of = self.eval(of, scope)?;
                let Some(of) = single(&of, "a sign")? else { return Ok(Collection::EMPTY) };
                return arithmetic::signed(&of.value(), negative).map(Collection::one);
            }
            Expr::Binary { how, left, right } => return self.binary(*how, left, right, scope),
        };
        Ok(Collection::one(item))
    }

    /// What a function is called on.
    fn input(&mut self, on: Option<&'a Expr>, scope: Scope<'a, '_>) -> Outcome<Collection<'a>> {
        match on {
            Some(on) => self.eval(on, scope),
            None => Ok(Collection::one(scope.this.clone())),
        }
    }

    /// A name by itself: an element of what is looked at, or what is looked at by its type.
    fn implied(&mut self, name: &'a str, scope: Scope<'a, '_>) -> Outcome<Collection<'a>> {
        if name.starts_with(|c: char| c.is_ascii_uppercase())
            && let Item::Node(node) = scope.this
        {
            if node.is_a(name) {
                return Ok(Collection::one(scope.this.clone()));
            }
            if definitions::type_named(name).is_some() {
                return Ok(Collection::EMPTY);
            }
        }
        let mut found = Collection::EMPTY;
        self.children_of(scope.this, name, &mut found)?;
        Ok(found)
    }

    fn children(&mut self, on: &Collection<'a>, name: &str) -> Outcome<Collection<'a>> {
        let mut found = Collection::EMPTY;
        for item in on {
            self.children_of(item, name, &mut found)?;
        }
        Ok(found)
    }

    fn children_of(&mut self, item: &Item<'a>, name: &str, found: &mut Collection<'a>) -> Outcome<()> {
        self.budget.spend(1)?;
        match item {
            Item::Node(node) => node.each_child(name, &mut |child| self.add(found, Item::Node(child)))?,
            Item::Type(space, _) if name == "namespace" => found.push(Item::Text((*space).into())),
            Item::Type(_, of) if name == "name" => found.push(Item::Text((*of).into())),
            Item::Quantity(quantity) if name == "value" => found.push(Item::Decimal(quantity.value)),
            Item::Quantity(quantity) if name == "unit" => found.push(Item::made(quantity.unit.clone())),
            _ => {}
        }
        Ok(())
    }

    /// Adds an item, within bounds.
    fn add(&mut self, found: &mut Collection<'a>, item: Item<'a>) -> Outcome<()> {
        self.budget.spend(1)?;
        if found.len() >= ITEMS_MAX {
            return Err(EvalError::TooGreat);
        }
        found.push(item);
        Ok(())
    }

    fn variable(&self, name: &'a str) -> Outcome<Collection<'a>> {
        let text = |text: &'static str| Item::Text(text.into());
        let item = match name {
            "resource" => Item::Node(self.context.resource),
            "rootResource" => Item::Node(self.context.root),
            "context" => Item::Node(self.on),
            "ucum" => text("http://unitsofmeasure.org"),
            "sct" => text("http://snomed.info/sct"),
            "loinc" => text("http://loinc.org"),
            _ => {
                let url = |prefix: &str, before: &str| {
                    name.strip_prefix(prefix).map(|id| Item::made(format!("http://hl7.org/fhir/{before}/{id}")))
                };
                let given = self.context.variables.iter().find(|(known, _)| *known == name);
                let given = given.map(|(_, item)| item.clone());
                let item = given.or_else(|| url("vs-", "ValueSet")).or_else(|| url("ext-", "StructureDefinition"));
                item.ok_or(EvalError::UnknownVariable)?
            }
        };
        Ok(Collection::one(item))
    }

    fn binary(
        &mut self,
        how: Operator,
        left: &'a Expr,
        right: &'a Expr,
        scope: Scope<'a, '_>,
    ) -> Outcome<Collection<'a>> {
        let what = how.text();
        if matches!(how, Operator::And | Operator::Or | Operator::Xor | Operator::Implies) {
            let left = self.eval(left, scope)?;
            let left = truth(&left, what)?;
            // what is decided is not asked any more
            match (how, left) {
                (Operator::And, Some(false)) => return Ok(Collection::truth(Some(false))),
                (Operator::Or, Some(true)) | (Operator::Implies, Some(false)) => {
                    return Ok(Collection::truth(Some(true)));
                }
                _ => {}
            }
            let right = self.eval(right, scope)?;
            let right = truth(&right, what)?;
            return Ok(Collection::truth(match how {
                Operator::And => match (left, right) {
                    (_, Some(false)) => Some(false),
                    (Some(true), right) => right,
                    _ => None,
                },
                Operator::Or => match (left, right) {
                    (_, Some(true)) => Some(true),
                    (Some(false), right) => right,
                    _ => None,
                },
                Operator::Implies => match (left, right) {
                    (_, Some(true)) => Some(true),
                    (Some(true), right) => right,
                    _ => None,
                },
                _ => left.zip(right).map(|(left, right)| left != right),
            }));
        }
        let left = self.eval(left, scope)?;
        if how == Operator::In {
            let Some(one) = single(&left, what)? else { return Ok(Collection::EMPTY) };
            return Ok(Collection::truth(Some(self.is_in(one, right, scope)?)));
        }
        let right = self.eval(right, scope)?;
        let budget = &mut self.budget;
        Ok(Collection::truth(match how {
            Operator::Equal => equal::equal(&left, &right, budget)?,
            Operator::NotEqual => equal::equal(&left, &right, budget)?.map(|equal| !equal),
            Operator::Equivalent => Some(equal::equivalent(&left, &right, budget)?),
            Operator::NotEquivalent => Some(!equal::equivalent(&left, &right, budget)?),
            Operator::Contains => match single(&right, what)? {
                Some(one) => Some(sets::contains(&left, one, budget)?),
                None => None,
            },
            Operator::Less | Operator::LessOrEqual | Operator::Greater | Operator::GreaterOrEqual => {
                match (single(&left, what)?, single(&right, what)?) {
                    (Some(left), Some(right)) => equal::order(left, right, what)?.map(|order| match how {
                        Operator::Less => order.is_lt(),
                        Operator::LessOrEqual => order.is_le(),
                        Operator::Greater => order.is_gt(),
                        _ => order.is_ge(),
                    }),
                    _ => None,
                }
            }
            Operator::Union => return self.union(left, right),
            _ => {
                let found = match (single(&left, what)?, single(&right, what)?) {
                    (Some(left), Some(right)) => arithmetic::apply(how, left, right, budget)?,
                    (Some(one), None) | (None, Some(one)) if how == Operator::Join => {
                        Some(Item::Text(one.text().ok_or(EvalError::WrongType { what })?))
                    }
                    (None, None) if how == Operator::Join => Some(Item::Text("".into())),
                    _ => None,
                };
                return Ok(found.into());
            }
        }))
    }

    /// Whether an item is in what an expression yields; of a union, one part after the other, until it is found.
    fn is_in(&mut self, one: &Item<'a>, all: &'a Expr, scope: Scope<'a, '_>) -> Outcome<bool> {
        if let Expr::Binary { how: Operator::Union, left, right } = all {
            return Ok(self.is_in(one, left, scope)? || self.is_in(one, right, scope)?);
        }
        let all = self.eval(all, scope)?;
        sets::contains(&all, one, &mut self.budget)
    }

    fn union(&mut self, left: Collection<'a>, right: Collection<'a>) -> Outcome<Collection<'a>> {
        let both = self.combine(left, right)?;
        sets::distinct(both, &mut self.budget)
    }

    fn combine(&mut self, mut left: Collection<'a>, right: Collection<'a>) -> Outcome<Collection<'a>> {
        if left.is_empty() {
            return Ok(right);
        }
        for item in right {
            self.add(&mut left, item)?;
        }
        Ok(left)
    }
}

fn whole<'a>(n: usize) -> Item<'a> {
    Item::Integer(i64::try_from(n).unwrap_or(i64::MAX))
}

fn typed<'a>(on: Collection<'a>, how: Typing, name: &super::types::TypeName) -> Outcome<Collection<'a>> {
    match how {
        Typing::Is => Ok(single(&on, "is")?.map(|item| Item::Boolean(item.is(name, false))).into()),
        // N1 wants one item for `as`; R4's own rules ask it of many, and mean those that are of the type
        Typing::As | Typing::OfType => Ok(on.iter().filter(|item| item.is(name, true)).cloned().collect()),
    }
}
