"""Honest explanations as a copywriter would word them, and ways to make them untrue.

Written before the checker's word lists, and not changed for them. ``needs`` names the facts that make a sentence true.
"""

from __future__ import annotations

from typing import NamedTuple


class Wording(NamedTuple):
    """A sentence and the reasons and facts that make it true."""

    needs: tuple[str, ...]
    text: str


WORDINGS = [
    Wording(("source.popular",), "{item} is popular with other shoppers."),
    Wording(("source.popular",), "Many people like {item}."),
    Wording(("source.popular",), "We picked {item} because a lot of customers choose it."),
    Wording(("source.popular",), "{item} is number {place} on our list of popular items."),
    Wording(("source.popular",), "Lots of shoppers buy {item}."),
    Wording(("source.popular",), "A favourite with many customers: {item}."),
    Wording(("because",), "Because you bought {anchor}, you might like {item}."),
    Wording(("because",), "You bought {anchor}, and {item} is similar."),
    Wording(("because",), "Since you enjoyed {anchor}, we think {item} could be a good match."),
    Wording(("because",), "{item} goes well with {anchor}, which you chose earlier."),
    Wording(("because", "source.item_knn"), "People who chose {anchor} often choose {item} too."),
    Wording(("because",), "We suggest {item} since it resembles {anchor} from your history."),
    Wording(("because",), "Your interest in {anchor} led us to {item}."),
    Wording(("because",), "If you liked {anchor}, have a look at {item}."),
    Wording(("feature.price",), "{item} fits the price range you usually look at."),
    Wording(("feature.price",), "The price of {item} suits you."),
    Wording(("feature.price", "brand"), "We recommend {item} because of its price and its brand, {brand}."),
    Wording(("feature.brand", "brand"), "{item} comes from {brand}, a brand that matches your taste."),
    Wording(
        ("feature.category", "brand", "category"),
        "It is a {category} item from {brand}, in line with your past choices.",
    ),
    Wording(("feature.price", "price"), "{item} costs {price}, which is close to what you normally pay."),
    Wording(("feature.category", "category"), "You often choose {category}, so {item} may interest you."),
    Wording(("source.history",), "You have bought {item} before."),
    Wording(("source.history",), "Time to get {item} again?"),
    Wording(("source.history",), "{item} is one of your regular purchases."),
    Wording(("source.trending",), "{item} is trending at the moment."),
    Wording(("source.trending",), "More and more people are discovering {item}."),
    Wording(("source.text",), "{item} matches the words of your search."),
    Wording(("source.text",), "We found {item} because it matches what you searched for."),
    Wording(("label.sponsored", "source.popular"), "Sponsored: {item} is popular with other customers."),
    Wording(
        ("label.sponsored", "because"), "{item} is shown as an advertisement and is similar to {anchor}."
    ),
]

CLAIMS = [
    "It is the best in its class.",
    "It is on sale today.",
    "Only three left in stock!",
    "Free delivery included.",
    "It has five stars.",
    "It lowers blood pressure.",
    "Recommended by doctors.",
    "You will love it.",
    "It was made in Germany.",
    "It is cheaper than anywhere else.",
    "Limited offer.",
    "Your friends bought it.",
    "It is perfect for your birthday.",
    "It is eco-friendly.",
    "Nobody returns it.",
    "It won an award.",
    "It lasts twice as long.",
    "We guarantee your money back.",
    "Because you are a woman.",
    "Since you live in Berlin.",
    "It suits a man of 45.",
    "It is new.",
    "It is safe for children.",
    "Use code SAVE for a discount.",
    "Everyone is buying it.",
    "It is the most popular item of all.",
    "It is of high quality.",
    "Experts agree.",
    "It sells out fast.",
    "It is better than the rest.",
]
REASONS_NOT_GIVEN = {
    "source.popular": "It is popular with many people.",
    "source.trending": "It is trending at the moment.",
    "source.history": "You have bought it before.",
    "source.text": "It matches the words of your search.",
    "feature.price": "Its price suits you.",
    "label.sponsored": "It is sponsored.",
}
LINKS = [
    "See https://example.com/deal",
    "Visit www.example.com",
    "More at example.com",
    "Write to me@example.com",
    "ftp://10.0.0.1/x",
    "Go to bit.ly/x1",
]
MARKUP = [
    "<b>{text}</b>",
    "{text} <script>alert(1)</script>",
    "**{text}**",
    "[{text}](x)",
    "{text} <img src=x onerror=y>",
    "{text} &lt;b&gt;",
    "`{text}`",
    "# {text}",
]
OTHERS = [
    "user-4711 took it too.",
    "Anna Schmidt bought it as well.",
    "Someone at anna@example.org chose it.",
    "Your neighbour Tom likes it.",
    "The account 99317 has it in its basket.",
]
