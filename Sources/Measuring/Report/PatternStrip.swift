import Analysis
import AttentionCore
import Basics
import Figures
import Records
import Settings
import Tensors

/// What each variant of a report sees, as small pictures side by side.
struct PatternStrip {
  /// One variant under one configuration.
  private struct Entry {
    let label: String
    let sample: PatternSample
    let head: String

    var figure: String {
      let share = Quantity.significant(100 * sample.share, 2)
      let words = "n = \(sample.length): \(share) % of pairs\(head)"
      return "<figure>\(PatternPicture(counts: sample.counts, head: 0).thumbnail)"
        + "<figcaption>\(html(label))<br><span class=\"meta\">\(html(words))</span></figcaption></figure>"
    }
  }

  private let entries: [Entry]

  /// Draws the patterns of all series of a comparison; what has none, or is not in the catalogue, is left out.
  init(_ comparison: Comparison, variants: Catalog) {
    var seen: Set<String> = []
    var entries: [Entry] = []
    for series in comparison.parts.flatMap(\.panel.series) {
      guard let row = series.rows.last, seen.insert("\(series.label) \(row.causal ?? false)").inserted,
        let type = try? variants.type(of: row.variant),
        let settings = try? ParameterValue.settings(
          parsing: row.configuration.split(separator: ";").map(String.init)),
        let shape = try? AttentionShape(
          queryHeads: row.queryHeads ?? 1, keyHeads: row.keyHeads, queryLength: 1, headDim: row.headDim ?? 64,
          isCausal: row.causal ?? false),
        let sample = PatternSample(
          type, settings: settings, like: shape, key: RandomKey(seed: row.seed ?? 1)("variant")(row.variant))
      else { continue }
      let isOne = shape.queryHeads > 1 && !sample.counts.isShared && sample.share < 1
      entries.append(
        Entry(
          label: series.label + (shape.isCausal ? ", causal" : ""), sample: sample,
          head: isOne ? ", first head" : ""))
    }
    self.entries = entries
  }

  /// At which lengths the patterns are shown.
  private var lengths: String {
    let seen = "Each at the first length at which its pattern can be seen"
    return entries.allSatisfy(\.sample.isVisible)
      ? "\(seen)."
      : "\(seen); those that count most of their pairs at every length that was tried, where they count fewest."
  }

  /// The part of a page; empty when there is nothing to show.
  var body: String {
    guard !entries.isEmpty else { return "" }
    return
      "<h2>What each sees</h2>\n<p>Queries go down, keys across. Blue: the pair counts; orange: more than once."
      + " \(lengths) What depends on data is shown on Gaussian rows; a recurrence has no pattern.</p>\n<div class=\"patterns\">\(entries.map(\.figure).joined(separator: "\n"))</div>\n"
  }
}
