import Basics
import Foundation
import Records

/// What a folder may hold for whoever writes into it: results of two kinds do not mix.
extension RunFolder {
  /// Where `attnlab train` keeps what it goes on from.
  public static let checkpoint = "checkpoint.safetensors"

  /// Refuses a folder with results that a preset cannot have made.
  /// - Throws: `UsageError`.
  package func check(for preset: Preset) throws(UsageError) {
    let own = preset.kinds.types.filter { kind in preset.experiments.contains { $0.kind.id == kind.id } }
    for kind in preset.kinds.types where !own.contains(where: { $0.id == kind.id }) {
      let file = path + "/" + kind.table
      guard hasContent(file) else { continue }
      let others = own.map { $0.words.results }.joined(separator: " and ")
      throw UsageError(
        "\(file): \(kind.words.results) of another run; \(preset.file) has \(others) only; \(Self.remedy)")
    }
    if hasContent(path + "/" + Self.checkpoint) {
      throw UsageError("\(path): it holds a training of attnlab train; \(Self.remedy)")
    }
  }

  /// Refuses a folder in which `attnlab run` keeps its results, or that has results of another kind than one.
  /// - Throws: `UsageError`.
  public func check(
    forOneOf kind: any ExperimentKind.Type, among kinds: ExperimentCatalog
  ) throws(UsageError) {
    let preset = try EnvironmentRecord.read(self)?["preset"].stringValue
    let others = kinds.types.filter { $0.id != kind.id }.map { path + "/" + $0.table }
    guard preset != nil || others.contains(where: hasContent) else { return }
    throw UsageError(
      "\(path): it holds results of attnlab run\(preset.map { " \($0)" } ?? ""); --checkpoint writes elsewhere"
    )
  }

  private func hasContent(_ file: String) -> Bool {
    FileManager.default.contents(atPath: file)?.isEmpty == false
  }
}
