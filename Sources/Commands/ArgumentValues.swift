import Analysis
import ArgumentParser
import AttentionCore
import Basics
import ImageTasks
import LeastSquares
import Measuring
import Pages
import Presets
import Records
import ScalingLaws
import Settings
import Tasks
import Tensors

// The values of options, declared to the parser: it reads them, and shows them in help and in completions.

extension Metric: ExpressibleByArgument {}
extension TableFormat: ExpressibleByArgument {}
extension PassKind: ExpressibleByArgument {}
extension Precision: ExpressibleByArgument {}
extension Split: ExpressibleByArgument {}
extension InstructionSet: ExpressibleByArgument {}
extension FitSpace: ExpressibleByArgument {}
extension ColumnPlot.Request.Logarithmic: ExpressibleByArgument {}
extension IntervalMethod: ExpressibleByArgument {}

extension CSVDialect.Encoding: ExpressibleByArgument {
  /// Names of encodings are written in capitals as often as not.
  public init?(argument: String) { self.init(rawValue: argument.lowercased()) }
}

extension InputSource: ExpressibleByArgument {
  /// As presets and tables write it.
  public init?(argument: String) { self.init(argument) }
  /// What is allowed.
  public static var allValueStrings: [String] {
    ["gaussian", "text", "text:PATH", "npy:Q,K,V", "checkpoint:DIR,layer=L,text=PATH"]
  }
  /// Words that can be completed; a path follows the last.
  public static var defaultCompletionKind: CompletionKind {
    .list(["gaussian", "text", "text:", "npy:", "checkpoint:"])
  }
}

/// The name of a loss; Huber's has a parameter of its own.
package enum LossName: String, CaseIterable, ExpressibleByArgument {
  case squares, huber, absolute
}

extension InstructionSet {
  /// A set that a user asked for; `nil` of `nil`.
  /// - Throws: `UsageError` when this processor does not have it.
  package static func available(_ set: InstructionSet?) throws(UsageError) -> InstructionSet? {
    guard let set, !available.contains(set) else { return set }
    throw UsageError(
      "--isa \(set): it takes one of \(available.map(\.rawValue).joined(separator: ", ")) here")
  }
}

extension CompletionKind {
  /// The variants of the catalogue, added ones too.
  package static var variants: CompletionKind { .custom { _, _, _ in Installed.catalog.ids } }
  /// The tasks.
  package static var tasks: CompletionKind { .list(TaskCatalog.standard.ids) }
  /// The presets that are found from the working folder.
  package static var presets: CompletionKind {
    .custom { _, _, _ in PresetFinder.files().map(PresetFinder.name(of:)) }
  }
  /// The forms of scaling laws.
  package static var forms: CompletionKind { .list(FormCatalog.all.map(\.name) + ["auto"]) }
  /// The settings of the variant or task that the line names.
  package static var settings: CompletionKind {
    .custom { words, _, _ in ListPage.settings(of: words, in: Installed.catalog) }
  }
}
