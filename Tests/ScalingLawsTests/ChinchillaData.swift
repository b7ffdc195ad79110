import Foundation
import Testing

@testable import LeastSquares
@testable import ScalingLaws

/// The runs behind Epoch AI's replication of Hoffmann et al., approach 3.
enum ChinchillaData {
  /// N, D = C/(6N) and loss of all 245 rows, or nil when the reference data are not there.
  static let all: FitData? = {
    guard let folder = ProcessInfo.processInfo.environment["ATTNLAB_REFERENCE_DATA"] else { return nil }
    let file = URL(fileURLWithPath: folder).appendingPathComponent("chinchilla/epoch_svg_extracted_data.csv")
    guard let text = try? String(contentsOf: file, encoding: .utf8) else { return nil }
    let lines = text.split(whereSeparator: \.isNewline).map { $0.split(separator: ",").map(String.init) }
    guard let head = lines.first, let size = head.firstIndex(of: "Model Size"),
      let flop = head.firstIndex(of: "Training FLOP"), let loss = head.firstIndex(of: "loss")
    else { return nil }
    func column(_ k: Int) -> [Double] { lines.dropFirst().compactMap { Double($0[k]) } }
    let n = column(size)
    let d = zip(column(flop), n).map { $0 / (6 * $1) }
    return try? FitData(columns: [("N", n), ("D", d)], response: column(loss))
  }()

  static let absent: Comment = "ATTNLAB_REFERENCE_DATA is not set: the Chinchilla runs are not there"

  /// Where Hoffmann et al. ended, the start from which tools stop early.
  static let hoffmann = ["E": 1.69, "A": 406.4, "B": 410.7, "alpha": 0.34, "beta": 0.28]

  static func options(_ loss: Loss, fromHoffmann: Bool = false, drop: Int = 5) -> FitOptions {
    var options = FitOptions(space: .log, loss: loss)
    options.dropLargest = drop
    options.influence = false
    options.interval = loss == .squares ? .wald : .sandwich
    if fromHoffmann {
      options.start = hoffmann
      options.onlyGivenStart = true
    }
    return options
  }
}
