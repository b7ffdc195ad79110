import Basics
import Foundation
import Settings
import Tensors
import Testing

@testable import Tasks

/// Texts in order: streams go on where they stopped, begin where texts begin, and stay in their split.
@Suite struct SegmentTests {
  static func text(length: Int) throws -> ByteText {
    var configuration = ByteText.Configuration()
    configuration.length = length
    let bytes = (0..<4000).map { UInt8(truncatingIfNeeded: $0 % 2 == 0 ? $0 / 2 : $0 >> 9) }
    return try ByteText(
      configuration, corpus: TextCorpus(bytes: bytes, named: "memory"), key: RandomKey(seed: 3))
  }

  @Test(
    "a segment goes on where the one before stopped, unless a text begins", arguments: Split.allCases,
    [0, 1, 7])
  func goOn(split: Split, shift: Int) throws {
    let task = try Self.text(length: 20), stretches = ByteText.stretches(of: 4000)[split] ?? []
    var last: [Int32?] = [nil, nil, nil]
    var begins = 0
    for number in 0..<40 {
      let rows = task.segments(of: split, number: number, streams: 2..<5, of: 6, shift: shift)
      for row in 0..<3 {
        let inputs = Array(rows.batch.inputs[row * 20..<(row + 1) * 20])
        let targets = Array(rows.batch.targets[row * 20..<(row + 1) * 20])
        #expect(Array(inputs.dropFirst()) == Array(targets.dropLast()))
        #expect(number > 0 || rows.begins[row])
        if rows.begins[row] {
          begins += number > 0 ? 1 : 0
        } else {
          #expect(last[row] == inputs[0], "segment \(number) of row \(row)")
        }
        last[row] = targets[19]
        let bytes = task.corpus.bytes
        let place = bytes.indices.first { start in
          start + 21 <= bytes.count && zip(inputs, bytes[start...]).allSatisfy { $0 == Int32($1) }
        }
        #expect(
          stretches.contains { range in place.map { range.contains($0) && range.contains($0 + 20) } ?? false }
        )
      }
    }
    #expect(begins > 0)
    #expect(
      task.segments(of: split, number: 3, streams: 2..<3, of: 6, shift: shift).batch.inputs
        == Array(
          task.segments(of: split, number: 3, streams: 0..<6, of: 6, shift: shift).batch.inputs[40..<60]))
  }

  @Test("an echo comes back as often as it says, and its bound is that of its law")
  func echo() throws {
    let settings: [String: ParameterValue] = [
      "length": .int(50), "vocabulary": .int(7), "distance": .int(13), "share": .double(0.8),
    ]
    let task = try Echo(Echo.Configuration(settings: settings), key: RandomKey(seed: 1))
    var text: [Int32] = []
    for number in 0..<40 {
      let rows = task.segments(of: .train, number: number, streams: 0..<1, of: 1, shift: 1)
      #expect(rows.begins == [number == 0])
      #expect(text.isEmpty || rows.batch.inputs[0] == text[text.count - 1])
      text = text.dropLast() + rows.batch.inputs + [rows.batch.targets[49]]
    }
    let same = (13..<text.count).count { text[$0] == text[$0 - 13] }
    let p = 0.8 + 0.2 / 7, share = Double(same) / Double(text.count - 13)
    #expect(abs(share - p) < 4 * (p * (1 - p) / Double(text.count)).squareRoot(), "\(share)")
    let bound = -p * log(p) - 6 * (0.2 / 7) * log(0.2 / 7)
    #expect(abs((task.entropyRate ?? 0) - bound) < 1e-12)
  }
}

/// Documents that tell once and ask later.
@Suite struct GlossaryTests {
  @Test("every word is told once a document, before it is asked for, and its answer is what was told")
  func documents() throws {
    let settings: [String: ParameterValue] = [
      "length": .int(9), "words": .int(7), "meanings": .int(5), "segments": .int(6),
    ]
    let task = try Glossary(Glossary.Configuration(settings: settings), key: RandomKey(seed: 1))
    var told: [Int: Int] = [:], asked = 0, later = 0
    for number in 0..<24 {
      let rows = task.segments(of: .train, number: number, streams: 1..<2, of: 3, shift: 2)
      #expect(rows.begins == [number % 6 == 0])
      if rows.begins[0] {
        #expect(number == 0 || told.count == 7)
        told = [:]
      }
      let before = told
      for (input, target) in zip(rows.batch.inputs, rows.batch.targets) {
        let token = Int(input)
        if token < 35 {
          #expect(told[token / 5] == nil && target == TaskBatch.ignored)
          told[token / 5] = token % 5
        } else {
          let word = token - 35
          #expect(told[word].map { 42 + $0 } == Int(target))
          asked += 1
          later += before[word] == nil ? 0 : 1
        }
      }
      #expect(
        task.segments(of: .train, number: number, streams: 0..<3, of: 3, shift: 2).batch.inputs[9..<18]
          == rows.batch.inputs[0..<9])
    }
    // Most answers stand in an earlier segment.
    #expect(asked > 150 && later * 3 > asked * 2)
  }
}
