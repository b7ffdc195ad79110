import AttentionCore
import Basics
import Foundation
import Presets

/// What the program was started with: every subcommand sees it.
package enum Installed {
  /// The variants.
  @TaskLocal package static var catalog = Catalog([])

  /// The kinds of experiment.
  @TaskLocal package static var kinds = ExperimentCatalog.standard

  /// The program's file, which cells and jobs run.
  package static func program() throws(UsageError) -> String {
    guard let program = Bundle.main.executablePath else {
      throw UsageError("the program's own path is not known")
    }
    return program
  }
}
