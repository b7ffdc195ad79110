import AttentionCore
import Basics
import Laboratory
import Models

/// A checkpoint that a user names: a file of `attnlab train`, or a Hugging Face folder.
enum Checkpoint {
  /// Reads it, and says once what of it is not used.
  /// - Throws: `SafetensorsError`, `ConfigurationError`.
  static func read(_ path: String, threads: Int?) throws -> PretrainedModel {
    let pretrained = try PretrainedModel(
      contentsOf: path, catalog: AttentionLab.catalog,
      context: .limited(threads: threads ?? Parallel.processorCount))
    let ignored = pretrained.ignored
    if !ignored.isEmpty {
      let some = ignored.prefix(5).joined(separator: ", ") + (ignored.count > 5 ? ", …" : "")
      Terminal.note(
        "\(path): \(ignored.count) tensor\(ignored.count == 1 ? "" : "s") of the file not used: \(some)")
    }
    return pretrained
  }
}

extension PretrainedModel {
  /// Makes sure that rows hold no token that is padding where positions are counted without it.
  /// - Throws: `UsageError` naming the first such row.
  func refusePadding(_ tokens: [Int32], length: Int, path: String) throws(UsageError) {
    guard let padding = paddingToken, let place = tokens.firstIndex(of: padding) else { return }
    throw UsageError(
      "\(path): row \(place / max(1, length)) has the token \(padding), this model's padding, which moves the positions "
        + "of all after it; give rows without padding")
  }
}
