import Basics

/// Text for a program that runs far from its sources: written for this purpose, read cyclically.
enum BuiltInText {
  static let text = """
    A reader who opens a long book does not hold every word of it in mind. She keeps the last sentence, the name of
    the person who is speaking, the place where the chapter began, and a few things that seemed to matter when she met
    them; the rest she can find again when she needs it. A machine that reads has to make the same choices. Full
    attention makes none: every word is compared with every other, and the price grows with the square of the length.
    At a thousand words nobody notices. At a hundred thousand the comparison table alone has ten billion entries.

    The ways around this are few, and each gives something up. One may look only a short way to the left, as one does
    when copying a text by hand. One may agree on a small number of places that everybody can see, as a town agrees on
    a square. One may add a handful of paths drawn by lot, because a few long roads make any country small. One may
    sort the words by what they resemble and let each speak with its neighbours in that order. One may cut the text
    into pages and forbid any talk between pages, which is the cheapest rule and the most forgetful one. And one may
    keep the full comparison but never write the table down, working through it tile by tile: the price in arithmetic
    remains, but the price in memory is gone.

    Which of these is best is not a question of taste. It can be measured: how long a pass takes at each length, how
    many bytes it needs, how far its answer is from the one that full attention would have given on the same words.
    Measured honestly, that means on words rather than on zeros, after a warm-up, more than once, with the spread beside
    the median, as a share of what the machine could do at most, and with the cases that failed kept in the table under
    the reason why. A law fitted to such numbers says how the cost grows, and from which length one way beats another.
    A law fitted to fewer says only what its author hoped.

    """
}
