import AttentionCore
import Basics
import Models
import Pretrained
import Processes

/// A checkpoint that a user names: a file of `attnlab train`, or a Hugging Face folder.
package enum Checkpoint {
  /// Reads it, does with it what `body` says, and says once what of the file was not used. Of a call that is refused the
  /// refusal is all that is said.
  /// - Throws: `SafetensorsError`, `ConfigurationError`; what `body` throws.
  package static func use(_ path: String, threads: Int?, _ body: (PretrainedModel) throws -> Void) throws {
    let pretrained = try PretrainedModel(
      contentsOf: path, catalog: Installed.catalog,
      context: .limited(threads: threads ?? Parallel.processorCount))
    try body(pretrained)
    let ignored = pretrained.ignored
    guard !ignored.isEmpty else { return }
    let some = ignored.prefix(5).map { shown($0) }.joined(separator: ", ") + (ignored.count > 5 ? ", …" : "")
    Terminal.note(
      "\(path): \(counted(ignored.count, "tensor")) of the file not used: \(some)")
  }
}

extension PretrainedModel {
  /// Makes sure that rows hold no token that is padding where positions are counted without it.
  /// - Throws: `UsageError` naming the first such row.
  package func refusePadding(_ tokens: [Int32], length: Int, path: String) throws(UsageError) {
    guard let padding = paddingToken, let place = tokens.firstIndex(of: padding) else { return }
    throw UsageError(
      "\(path): row \(place / max(1, length)) has the token \(padding), this model's padding, which moves the positions "
        + "of all after it; give rows without padding")
  }
}
