import Basics
import Foundation
import LabTestSupport
import Settings
import Testing

@testable import Tasks

/// Documents by class: a generated task whose class follows from one sentence, and a user's folder.
@Suite struct DocumentTests {
  @Test(
    "one sentence alone holds both a marker and a class word, and it is the document's class",
    arguments: [2, 8, 40])
  func evidence(classes: Int) throws {
    let task = try TaskCatalog.sequences.make(
      "evidence",
      settings: [
        "classes": .int(classes), "sentences": .int(6), "words": .int(5), "distractors": .int(2),
        "vocabulary": .int(64),
      ], key: RandomKey(seed: 4))
    var markers = 0, others = 0
    for index in 0..<6 {
      let batch = try task.batch(split: .train, index: index, batchSize: 32)
      for row in 0..<32 {
        let tokens = batch.inputs[row * batch.length..<row * batch.length + batch.lengths[row]]
        let sentences = tokens.split(separator: Evidence.separator, omittingEmptySubsequences: false)
          .dropFirst()
        #expect((3...6).contains(sentences.count))
        #expect(sentences.allSatisfy { (3...5).contains($0.count) && $0.allSatisfy { $0 > 1 && $0 < 64 } })
        let words = 3..<Int32(3 + classes)
        let both = sentences.filter { $0.contains(Evidence.marker) && $0.contains { words.contains($0) } }
        #expect(both.count == 1)
        #expect(both.first?.first { words.contains($0) } == 3 + batch.labels[row])
        markers += sentences.count { $0.contains(Evidence.marker) } - 1
        others += sentences.count { $0.contains { words.contains($0) } } - 1
      }
    }
    #expect(others == 6 * 32 * 2 && markers > 50)
  }

  @Test("a user's folder: classes by name, splits apart, no document twice")
  func folder() throws {
    let scratch = try Scratch()
    for (name, count) in [("b", 9), ("a", 16), (".git", 9)] {
      try FileManager.default.createDirectory(atPath: scratch(name), withIntermediateDirectories: true)
      for number in 0..<count { _ = try scratch.write("\(name)/\(number).txt", "\(name) says \(number)\n") }
    }
    _ = try scratch.write("a/again.txt", "a says 3\n")
    _ = try scratch.write("a/binary", "\0")
    _ = try scratch.write("loose.txt", "of no class")
    let task = try LabelledText(
      .init(settings: ["path": .string(scratch.path), "length": .int(9)]), key: RandomKey(seed: 1))
    #expect(task.classNames == ["a", "b"])
    #expect(Split.allCases.map(task.documentCount).reduce(0, +) == 25)
    #expect(task.documentCount(of: .validation) == 3 && task.documentCount(of: .test) == 3)
    let batch = try task.batch(split: .test, index: 0, batchSize: 4)
    #expect(batch.labels == [0, 0, 1, 0])
    #expect(batch.lengths == [9, 9, 9, 9])
    #expect(batch.inputs.prefix(6).map { UInt8($0) } == Array("a says".utf8))
  }

  @Test("what is no folder of classes is one clear line")
  func mistakes() throws {
    let scratch = try Scratch()
    func message() -> String {
      do {
        _ = try LabelledText(.init(settings: ["path": .string(scratch.path)]), key: RandomKey(seed: 1))
        return "none"
      } catch { return "\(error)" }
    }
    #expect(message().hasSuffix("0 folders of text files; at least 2 are expected, one a class"))
    try FileManager.default.createDirectory(atPath: scratch("a"), withIntermediateDirectories: true)
    _ = try scratch.write("a/one.txt", "one")
    #expect(message().hasSuffix("/a: 1 different text files; a class takes at least 8"))
  }

  @Test(
    "what the source says of the asked entities is the class, and no sequence tells it alone",
    arguments: [1, 2])
  func facts(asked: Int) throws {
    let task = try TaskCatalog.sequences.make(
      "facts", settings: ["asked": .int(asked), "facts": .int(5)], key: RandomKey(seed: 4))
    var classes: [Int32: Int] = [:]
    for index in 0..<8 {
      let batch = try task.batch(split: .train, index: index, batchSize: 32)
      #expect(batch.source.count == 32 * 5 && batch.targets.isEmpty)
      for row in 0..<32 {
        // 8 fillers, then 16 entities, then their 4 facts each.
        let source = batch.source[row * 5..<row * 5 + 5].map { Int($0) - 25 }
        let named = batch.inputs[row * 8..<row * 8 + 8].map { Int($0) - 9 }.filter { $0 >= 0 }
        #expect(Set(source.map { $0 / 4 }).count == 5 && named.count == asked)
        let sum = named.reduce(0) { sum, entity in
          sum + source.reduce(0) { $0 + ($1 / 4 == entity ? $1 % 4 : 0) }
        }
        #expect(Int32(sum % 4) == batch.labels[row])
        classes[batch.labels[row], default: 0] += 1
      }
    }
    #expect(classes.count == 4 && classes.values.allSatisfy { (40...90).contains($0) })
  }
}
