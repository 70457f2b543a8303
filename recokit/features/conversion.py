"""Conversion: how often weak events turn into strong ones."""

from __future__ import annotations

from collections.abc import Sequence

from recokit._utils.options import at_least, check_options
from recokit.data.events.keyed import Keyspace
from recokit.data.times import Duration
from recokit.errors import ConfigurationError
from recokit.features._block import Context, IndexBlock, View, durations, ratio, window_label
from recokit.typing import AnyArray, FloatArray


class Conversion(IndexBlock):
    """How often one type of event leads to another, smoothed towards the rate of everything.

    One feature, such as ``item_purchase_per_view``: (purchases + prior x rate) / (views + prior), where the rate is
    that of all events before the request: an entity with few events is taken for an average one. NaN before there was
    any event of the weaker type at all. With ``entity="item.seller"``, ``to="return"`` and ``per="purchase"`` it is a
    seller's return rate (``seller_return_per_purchase``).

    Parameters
    ----------
    to, per : str
        Event types: the rate counts events of type ``to`` for each of type ``per``.
    entity : str, default "item"
        ``"item"``, ``"user"`` or a categorical item column such as ``"item.seller"``.
    window : duration, optional
        Count in this window only; everything by default.
    prior : float, default 20
        Weak events that the overall rate is worth.

    Raises
    ------
    ConfigurationError
        If an option is out of range.

    Examples
    --------
    >>> from recokit.data import Candidates, Dataset, Requests
    >>> log = {"user_id": [1, 1, 1, 1], "item_id": [5, 5, 6, 6], "timestamp": [1.0, 2.0, 3.0, 4.0]}
    >>> data = Dataset.from_frame({**log, "event": ["view", "purchase", "view", "view"]})
    >>> block = Conversion("purchase", "view", prior=1.0).fit(data)
    >>> candidates = Candidates.from_lists([[1, 2]], requests=Requests.build([1], now=9.0))
    >>> block.featurize(candidates).astype(float).round(3).ravel().tolist()
    [0.667, 0.111]
    """

    family = "conversion"

    def __init__(
        self, to: str, per: str, *, entity: str = "item", window: Duration | None = None, prior: float = 20.0
    ) -> None:
        if to == per:
            raise ConfigurationError(f"found to={to!r} and per={per!r}; expected two event types")
        if entity not in ("item", "user") and not entity.startswith("item."):
            raise ConfigurationError(f"found entity={entity!r}; expected 'item', 'user' or 'item.COLUMN'")
        self.to, self.per, self.entity, self.window, self.prior = to, per, entity, window, prior
        check_options(self, {"prior": at_least(0)})
        self._width = None if window is None else durations(window)[0]
        self.requires = (entity,) if "." in entity else ()
        suffix = "" if window is None else f"_{window_label(window)}"
        short = entity.removeprefix("item.")
        when = "" if window is None else f" in the last {window_label(window)}"
        self.meanings = {
            f"{short}_{to}_per_{per}{suffix}": f"{to} events of the {short} for each {per}{when}, smoothed"
        }
        self.names = tuple(self.meanings)
        self.keyspaces = tuple(Keyspace(of, event) for of in ((entity,), ()) for event in (to, per))

    def _columns(self, context: Context) -> Sequence[AnyArray] | AnyArray:
        strong, weak, all_strong, all_weak = self.keyspaces
        width, column = self._width, "" if self.entity == "item" else self.entity
        rate = context.rate(all_strong.name, all_weak.name, width)
        if self.entity == "user":
            return context.by_row(self._smoothed(context.users(strong.name), context.users(weak.name), rate))
        items = context.of_items(strong.name, column), context.of_items(weak.name, column)
        return context.by_item(self._smoothed(*items, rate[context.items.moment]))

    def _smoothed(self, strong: View, weak: View, rate: FloatArray) -> FloatArray:
        return ratio(strong.count(self._width) + self.prior * rate, weak.count(self._width) + self.prior)
