import Attention
import AttentionCore
import Basics
import Settings
import Tasks
import Tensors
import Testing

@testable import Layers
@testable import Models
@testable import Training

/// A sequence is right as a whole when every scored row of it is.
@Suite struct ExactMatchTests {
  @Test(
    "sequences are counted from the logits' largest, whatever is scored of them",
    arguments: ["decoder", "encoder-decoder"])
  func counted(kind: String) throws {
    let model = try PaddingTests.model("full", kind, norm: "layer")
    var input = PaddingTests.input(kind, length: 15, filler: 9)
    let logits = try model.logits(input), width = logits.shape[2], values = logits.array()
    let best = (0..<3 * 15).map { row in
      let own = values[row * width..<(row + 1) * width]
      return Int32((own.firstIndex(of: own.max() ?? 0) ?? own.startIndex) - own.startIndex)
    }
    func wrong(_ token: Int32) -> Int32 { (token + 1) % 11 }
    // The first sequence is right in both of its rows, the second in one of two; of the third nothing is scored but padding.
    input.targets = [Int32](repeating: TaskBatch.ignored, count: 45)
    for place in [3, 12, 15 + 1] { input.targets[place] = best[place] }
    input.targets[15 + 4] = wrong(best[15 + 4])
    input.targets[30 + 14] = best[30 + 14]
    let loss = try model.loss(input)
    #expect(loss.rows == 4 && loss.correct == 3)
    #expect(loss.sequences == 2 && loss.sequencesRight == 1 && loss.exactMatch == 0.5)
    // Training counts as evaluation does.
    let trained = try model.accumulateGradients(input, key: RandomKey(seed: 1), training: false)
    #expect(trained.sequences == 2 && trained.sequencesRight == 1)
    // A last sequence counts, too, and so does one whose every row is scored.
    input.targets = best
    input.targets[2] = wrong(best[2])
    let all = try model.loss(input)
    #expect(all.rows == 13 + 6 + 9 && all.sequences == 3 && all.sequencesRight == 2)
    #expect((loss + all).sequences == 5 && (loss + all).sequencesRight == 3)
  }

  @Test(
    "a checkpoint holds all counts; one of an earlier build has no sequences, and none that cannot be is read"
  )
  func text() {
    let loss = CrossEntropy(sum: 1.5, rows: 7, correct: 4, sequences: 3, sequencesRight: 2)
    #expect(CrossEntropy(text: loss.text) == loss)
    let earlier = loss.text.split(separator: " ").prefix(3).joined(separator: " ")
    #expect(CrossEntropy(text: earlier) == CrossEntropy(sum: 1.5, rows: 7, correct: 4))
    for counts in ["7", "7 8", "7 4 3", "7 4 8 2", "7 4 3 4", "7 4 -1 0", "-1 0 0 0", "7 4 3 2 1", "7 x 3 2"]
    {
      #expect(CrossEntropy(text: "\(bits(1.5)) \(counts)") == nil, "\(counts)")
    }
  }

  @Test("a class is no sequence of rows")
  func classes() throws {
    let model = try PaddingTests.model("full", "classifier", norm: "layer")
    let loss = try model.loss(PaddingTests.input("classifier", length: 15, filler: 9))
    #expect(loss.rows == 3 && loss.sequences == 0 && loss.exactMatch == nil)
  }
}
