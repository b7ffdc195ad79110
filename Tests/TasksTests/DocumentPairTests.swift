import Basics
import LabTestSupport
import Settings
import Tensors
import Testing

@testable import Tasks

@Suite struct DocumentPairTests {
  private func folder(_ documents: Int) throws -> Scratch {
    let scratch = try Scratch()
    for label in 0..<3 {
      try Folder.create(scratch("\(label)"))
      for number in 0..<documents {
        _ = try scratch.write("\(label)/\(number).txt", "\(label) says \(number)")
      }
    }
    return scratch
  }

  @Test("a pair is of two documents of its split, and its class says whether their folder is one")
  func pairs() throws {
    let scratch = try folder(16)
    let task = try TaskCatalog.sequences.make(
      "document-pairs", settings: ["path": .string(scratch.path), "length": .int(40)], key: RandomKey(seed: 1)
    )
    var labels: [Int32: Int] = [:], owner: [[Int32]: Split] = [:]
    for split in Split.allCases {
      let batch = try task.batch(split: split, index: 0, batchSize: 100)
      for row in batch.rows {
        // A document begins with its folder.
        #expect((row.inputs[0] == row.source[0]) == (row.label == 1) && row.inputs != row.source)
        for document in [row.inputs, row.source] {
          #expect(owner[document, default: split] == split)
          owner[document] = split
        }
        labels[row.label, default: 0] += 1
      }
    }
    #expect(owner.count == 48 && labels.values.allSatisfy { (100...200).contains($0) })
  }

  @Test("classes with one document in a split have no pair of one class, in one line")
  func refusal() throws {
    let scratch = try folder(8)
    #expect {
      _ = try TaskCatalog.sequences.make(
        "document-pairs", settings: ["path": .string(scratch.path)], key: RandomKey(seed: 1))
    } throws: {
      "\($0)".hasSuffix("it takes a class of 16 or more")
    }
  }
}
