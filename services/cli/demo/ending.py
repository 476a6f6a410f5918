"""What a run came to: each story's timeline and verdict, what became of all orders, the books."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from rich.console import RenderableType
from rich.rule import Rule
from rich.text import Text

from services.cli.demo.seen import Seen
from services.cli.demo.story import Story
from services.cli.demo.timeline import table, timeline
from services.cli.demo.verdict import differences
from services.cli.demo.words import money, moved
from services.cli.observer import books_summary, books_table
from shared.books.result import Books
from shared.events.fields import Money


@dataclass(frozen=True)
class Ending:
    """A run after its end; `differences` are what is otherwise than expected, by story.

    `waits` is how often business time stood still for services that could not keep up.
    """

    stories: Sequence[Story]
    seen: Seen
    books: Books
    waits: int = 0

    @property
    def differences(self) -> Mapping[str, Sequence[str]]:
        found = {story.title: differences(story, self.seen) for story in self.stories}
        return {title: sentences for title, sentences in found.items() if sentences}

    @property
    def good(self) -> bool:
        """Whether the books balance and every story is as expected."""
        return self.books.balanced and not self.differences

    def shown(self, *, verbose: bool = False) -> Iterator[RenderableType]:
        """All of it, for a terminal or a log; `verbose` with all that the books looked at,
        as where they do not balance.
        """
        for story in self.stories:
            yield from self._story(story)
        yield Rule("All orders, traffic and stories")
        yield _outcomes(self.seen)
        yield Rule("The books: what Kafka acknowledged to the producers, beside topics and Redis")
        in_full = verbose or not self.books.balanced
        yield books_table(self.books) if in_full else books_summary(self.books)
        yield from self._verdict()

    def _story(self, story: Story) -> Iterator[RenderableType]:
        told = self.differences.get(story.title, ())
        mark = ("✗ ", "bold red") if told else ("✓ ", "bold green")
        yield Rule(
            Text.assemble(mark, (story.title, "bold"), ("  " + story.rules, "magenta")),
            align="left",
            style="dim",
        )
        for script in story.orders:
            order = self.seen.orders.get(script.order_id)
            if order is not None:
                yield Text(f"{order.order_id} of {order.buyer.buyer_id}: {order.status}", "bold")
                yield table(timeline(order, self.seen))
                yield from self._moves(order.order_id)
        yield from (Text(f"  ✗ {sentence}", "red") for sentence in told)
        yield Text()

    def _moves(self, order_id: str) -> Iterator[Text]:
        """What the provider did for the order, however often it was asked."""
        for move in self.seen.moves(order_id):
            amount = money(Money(amount_minor=move.amount_minor, currency=move.currency))
            asked = self.seen.ledger.asked[move.key]
            yield Text(
                f"  the provider's ledger: {amount} {moved(move.how)} once, asked {asked} ×", "dim"
            )

    def _verdict(self) -> Iterator[Text]:
        for title, sentences in self.differences.items():
            yield Text(f"✗ {title}", "bold red")
            yield from (Text(f"  {sentence}", "red") for sentence in sentences)
        if not self.books.balanced:
            yield Text("✗ The books do not balance.", "bold red")
        if self.waits:
            slow = f"Business time stood still {self.waits} × until everybody was at rest."
            yield Text(slow, "yellow")
        if self.good:
            count = len(self.stories)
            yield Text(f"✓ All {count} stories are as told, and the books balance.", "bold green")


def _outcomes(seen: Seen) -> Text:
    """How all orders ended, and what no order could be found for."""
    reasons = Counter(
        f"{order.status}: {order.cancellation.reason}" if order.cancellation else order.status
        for order in seen.orders.values()
    )
    lines = [f"{count:5} {outcome}" for outcome, count in reasons.most_common()]
    lines += [f"{count:5} dead letter: {reason}" for reason, count in seen.dead_letters.items()]
    return Text("\n".join(lines))
