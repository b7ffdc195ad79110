import ArgumentParser
import Basics
import Commands
import Foundation
import Presets

/// Which preset, what is changed in it, and where its results go: what `attnlab run` and `attnlab slurm` both ask.
struct PresetOptions: ParsableArguments {
  @Argument(help: "A preset's name in Experiments/, or the path of a YAML file.", completion: .presets)
  var preset: String

  @Option(help: "The folder of the results. Default: results/<preset>.")
  var out: String?

  @Option(name: .customLong("set"), help: "Change a field of the preset, path=value; may be repeated.")
  var sets: [String] = []

  @Option(help: "Only these variants, separated by commas.")
  var only: String?

  /// The preset with what is changed in it.
  /// - Parameter more: changes that other flags make.
  func load(_ more: [String] = []) throws -> Preset {
    try Preset(
      file: PresetFinder.file(preset), sets: sets + more, catalog: Installed.catalog,
      kinds: Installed.kinds)
  }

  /// Refuses a preset that can be read but once: every task reads it again.
  /// - Throws: `UsageError`.
  func refusePipe() throws(UsageError) {
    let file = try PresetFinder.file(preset)
    guard InputFile.isPipe(file) else { return }
    throw UsageError(
      "\(shown(file)): a preset from a pipe is gone when the jobs begin, each of which reads it; keep it as a file"
    )
  }

  /// The folder of the results.
  func folder(of preset: Preset) -> String { out ?? "results/\(preset.name)" }

  /// The cells that are asked for.
  func selection(of preset: Preset, _ shard: Shard) throws -> PresetSelection {
    let variants = only.map { $0.split(separator: ",").map { $0.trimmed } }
    return try PresetSelection(preset, shard: shard, only: variants, catalog: Installed.catalog)
  }
}
