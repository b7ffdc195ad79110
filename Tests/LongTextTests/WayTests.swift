import Attention
import AttentionCore
import Basics
import LabTestSupport
import Models
import Training
import Settings
import Tasks
import Tensors
import Testing

@testable import LongText

@Suite struct WayTests {
  private func make(_ id: String, _ way: String, _ settings: [String: ParameterValue] = [:]) throws
    -> any SequenceTask
  {
    try TaskCatalog([Passkey.self, Reading.self, ByteText.self, LabelledText.self, Copying.self]).prepared(
      id, settings: settings.merging(["way": .string(way)]) { $1 }, key: RandomKey(seed: 1))
  }

  @Test(
    "every target of a row is scored once, with the context that is promised",
    arguments: [1, 2, 63, 64, 65, 257])
  func windows(count: Int) throws {
    let row = Example(
      inputs: (0..<Int32(count)).map { $0 % 250 }, targets: (1...Int32(count)).map { $0 % 250 })
    for (length, stride) in [(64, 64), (64, 32), (64, 1), (1, 1), (300, 7)] {
      var c = Windows.Configuration()
      (c.length, c.stride) = (length, stride)
      let way = try Windows(c)
      var scored: [Int32] = []
      for (number, part) in way.parts(of: row).enumerated() {
        #expect(part.inputs.count <= way.length(of: count) && part.inputs.count == part.targets.count)
        let first = part.targets.firstIndex { $0 != TaskBatch.ignored } ?? 0
        #expect(part.targets[first...].allSatisfy { $0 != TaskBatch.ignored })
        if number > 0 { #expect(first >= length - stride) }
        scored += part.targets[first...]
      }
      #expect(scored == row.targets)
    }
  }

  @Test("windows of a file are those of its bytes as one row", arguments: [1, 2, 63, 64, 65, 257, 900])
  func windowsOfAFile(count: Int) throws {
    let scratch = try Scratch()
    // A last line that ends leaves the bytes as they are.
    let text = drawnText(count - 1, seed: 4) + [10]
    try AtomicFile.write(text, to: scratch("a.txt"))
    try AtomicFile.write(bytes("another file\n"), to: scratch("b.txt"))
    for (length, stride) in [(64, 32), (64, 64), (5, 3), (1000, 1)] {
      var c = Windows.Configuration()
      (c.length, c.stride) = (length, stride)
      let way = try Windows(c)
      for kind in [TaskKind.languageModel, .classification] {
        var rows: [Example] = [], ends = 0
        let found = try way.forEachBatch(of: TextStream(scratch.path), asking: kind, size: 3) {
          batch, file, isEnd in
          #expect(batch.count <= 3)
          if file == 0 { rows += batch }
          ends += isEnd ? 1 : 0
        }
        let tokens = text.map { Int32($0) }
        let row = kind == .languageModel ? Example(window: tokens) : Example(inputs: tokens, label: 0)
        let expected = way.parts(of: row).filter { !$0.inputs.isEmpty }
        #expect(rows == expected, "\(length), \(stride), \(kind)")
        #expect(ends == 2 && found.files == 2 && found.mostHeld <= way.mostHeld)
      }
    }
  }

  @Test("a passkey is kept by extraction and retrieval, and the answer is scored")
  func passkey() throws {
    for way in [
      "extract(method=bm25, tokens=100)", "extract(method=tfidf, tokens=100)",
      "retrieve(count=1, passage=120)",
    ] {
      let task = try make("passkey", way, ["length": .int(1500)])
      #expect(task.length < 250)
      let batch = try task.batch(split: .test, index: 0, batchSize: 8)
      for row in batch.rows {
        let text = String(decoding: row.inputs.map { UInt8($0) }, as: UTF8.self)
        let secret = String(decoding: row.targets.filter { $0 >= 0 }.map { UInt8($0) }, as: UTF8.self)
        #expect(secret.count == 5 && text.contains("The pass key is \(secret)."), "\(way): \(text)")
        #expect(text.hasSuffix("The pass key is \(secret.prefix(4))"))
      }
      let again = try make("passkey", way, ["length": .int(1500)])
      #expect(try again.batch(split: .test, index: 0, batchSize: 8) == batch)
      let count = (task as? any WayCounting)?.count ?? WayCount()
      #expect(count.read == 8 * 1500 && count.kept == batch.lengths.reduce(0, +))
    }
  }

  @Test(
    "the end of the sentence before a question is not looked for, so the fact is kept at every length",
    arguments: [28, 32, 40])
  func questionAlone(bytes: Int) throws {
    for way in ["extract(tokens=64, question=\(bytes))", "retrieve(count=3, passage=32, question=\(bytes))"] {
      for length in [384, 3072] {
        let task = try make("reading", way, ["length": .int(length)])
        let rows = try task.batch(split: .test, index: 0, batchSize: 64).rows
        let kept = rows.filter { row in
          let text = String(decoding: row.inputs.map { UInt8($0) }, as: UTF8.self)
          let answer = row.targets.filter { $0 >= 0 }.map { UInt8($0) }
          return text.dropLast(answer.count - 1).contains(String(decoding: answer, as: UTF8.self))
        }
        #expect(kept.count >= 60, "\(way), \(length): \(kept.count) of 64")
      }
    }
  }

  @Test("a question that is cut is asked for as far as it stands, and so is what has no word behind it")
  func cutQuestions() {
    func asked(_ text: String, bytes: Int) -> String {
      let tail = Tail(Example(inputs: Array(text.utf8).map { Int32($0) }, label: 0), bytes: bytes)
      return String(decoding: tail.question, as: UTF8.self)
    }
    let text = "Mavu keeps a falcon. Where does Zovi live? "
    #expect(asked(text, bytes: 22) == "Where does Zovi live? ")
    #expect(asked(text, bytes: 33) == "Where does Zovi live? ")
    #expect(asked(text, bytes: 43) == text && asked(text, bytes: 100) == text)
    #expect(asked(text, bytes: 16) == "does Zovi live? " && asked(text, bytes: 15) == " Zovi live? ")
    #expect(asked("Where does Zovi live? ... ", bytes: 12) == " live? ... ")
  }

  @Test("a way leaves it to the task whether an answer is asked for")
  func answers() throws {
    for way in ["windows(length=64, stride=32)", "extract(tokens=64)", "none"] {
      #expect(try make("passkey", way, ["length": .int(200)]).hasAnswers())
      #expect(try !make("text", way, ["length": .int(200)]).hasAnswers())
    }
  }

  @Test("rows of every length and setting fit the length that is told", arguments: [80, 81, 128, 257])
  func lengths(length: Int) throws {
    for way in [
      "extract(tokens=1)", "extract(share=0.5, question=1)",
      "extract(method=textrank, tokens=64, question=200)",
      "extract(method=tfidf, share=1)", "retrieve(count=1, passage=16, question=1)", "retrieve(count=9)",
      "windows(length=1, stride=1)", "windows(length=64, stride=3)", "none",
    ] {
      let task = try make("passkey", way, ["length": .int(length)])
      let batch = try task.batch(split: .train, index: 3, batchSize: 2)
      #expect(batch.length == task.length && task.length <= length)
      #expect(batch.lengths.allSatisfy { $0 >= 1 })
    }
  }

  @Test("a folder's passages stand before the whole row, and a stream finds the same")
  func retrieval() throws {
    let scratch = try Scratch()
    let facts = (0..<40).map { "The town of number\($0) has river\($0 * 7 % 40). " }.joined()
    try AtomicFile.write(bytes(facts), to: scratch("facts.txt"))
    let task = try make(
      "passkey", "retrieve(path='\(scratch.path)', count=2, passage=50)", ["length": .int(200)])
    #expect(task.length == 300)
    let question = bytes("What has the town of number17?")
    var c = Retrieve.Configuration()
    (c.count, c.passage) = (3, 50)
    let (found, count) = try Retrieve(c).search(TextStream(scratch.path), for: question)
    let index = PassageIndex(Passages.cut(bytes(facts), most: 50)).best(for: question, c)
    #expect(found.map(\.passage.bytes) == index.map(\.bytes))
    #expect(found.contains { String(decoding: $0.passage.bytes, as: UTF8.self).contains("number17 ") })
    #expect(
      count.mostHeld <= (try Retrieve(c)).mostHeld
        && count.units == Passages.cut(bytes(facts), most: 50).count)
  }

  @Test("embeddings find the row that has the direction of the question")
  func embeddings() throws {
    let scratch = try Scratch()
    let text = (0..<50).map { "Sentence number\($0) of fifty. " }.joined()
    try AtomicFile.write(bytes(text), to: scratch("a.txt"))
    var c = Retrieve.Configuration()
    (c.count, c.passage, c.method) = (2, 32, .embeddings)
    func embed(_ texts: [[UInt8]]) throws -> Tensor {
      let rows = texts.flatMap { text in (0..<256).map { letter in Float(text.count { $0 == UInt8(letter) }) }
      }
      return try Tensor(rows, shape: [texts.count, 256])
    }
    let question = bytes("Sentence number33 of fifty. ")
    let (found, count) = try Retrieve(c).search(
      TextStream(scratch.path), for: question, in: ExecutionContext(), embeddedBy: embed)
    #expect(count.units == 50 && found.count == 2)
    #expect(found.contains { $0.passage.bytes == question && abs($0.score - 1) < 1e-6 })
  }

  @Test("a folder many times the bound goes through every stage within it, and twice to the same")
  func bounded() throws {
    let scratch = try Scratch()
    var total = 0
    for number in 0..<3 {
      let text =
        drawnText(110_000, seed: UInt64(number), alphabet: "abcde fgh. the key ")
        + bytes(" The key is 7\(number)1. ")
      total += text.count
      try AtomicFile.write(text, to: scratch("\(number).txt"))
    }
    let stream = try TextStream(scratch.path), question = bytes("What is the key 711?")
    for (line, share) in [
      ("extract(method=bm25, tokens=100, part=4096)", 0.0),
      ("extract(method=tfidf, share=0.1, part=4096)", 0.1),
    ] {
      guard let way = try WayCatalog.standard.make(line) as? Extract else { throw CancellationError() }
      var kept: [UInt8] = [], again: [UInt8] = []
      let asked = share > 0 ? [] : question
      let count = try way.condense(stream, question: asked) { kept += $0.sentence.bytes }
      _ = try way.condense(stream, question: asked) { again += $0.sentence.bytes }
      #expect(count.mostHeld <= way.mostHeld && way.mostHeld * 4 < total)
      #expect(kept == again && kept.count == count.kept && count.read == total)
      #expect(share > 0 ? abs(Double(kept.count) / Double(total) - share) < 0.01 : kept.count <= 100)
      #expect(share > 0 || String(decoding: kept, as: UTF8.self).contains("The key is 711."))
    }
    let way = try Retrieve(Retrieve.Configuration())
    let (found, count) = try way.search(stream, for: question)
    #expect(count.mostHeld <= way.mostHeld && way.mostHeld * 4 < total && found.count == 4)
  }

  @Test("windows' classes are joined by the mean of probabilities, or by votes")
  func joins() throws {
    var parts = PartAnswers()
    for part in [[0.6, 0.4], [0.6, 0.4], [0.0, 1.0]] { parts.add(part) }
    #expect(parts.label(by: .mean) == 1 && parts.label(by: .vote) == 0)
    #expect(abs(parts.mean[1] - 0.6) < 1e-12)
    parts.add([0.1, 0.9])
    #expect(parts.label(by: .vote) == 1, "of equally many votes the greater mean")
    #expect(PartJoin.probabilities([0, 0] as [Float]) == [0.5, 0.5])
  }

  @Test("an evaluation of windows is the mean over them of what the model says", arguments: ["mean", "vote"])
  func evaluation(join: String) throws {
    let scratch = try Scratch()
    for (label, word) in ["alpha ", "beta "].enumerated() {
      for number in 0..<8 {
        try Folder.create(scratch("\(label)"))
        try AtomicFile.write(
          bytes("\(number) " + String(repeating: word, count: 5 + number)),
          to: scratch("\(label)/\(number).txt"))
      }
    }
    let task = try make(
      "labelled-text", "windows(length=16, stride=8, join=\(join))",
      ["path": .string(scratch.path), "length": .int(60)])
    var model = ModelConfiguration()
    (model.kind, model.width, model.layers, model.heads) = (.encoder, 8, 1, 2)
    var training = TrainingConfiguration()
    (training.batch, training.steps) = (2, 1)
    let trainer = try Trainer(
      model: TransformerModel(Trainer.fit(model, to: task), catalog: .standard), task: task,
      configuration: training)
    _ = try trainer.advance()
    let loss = try trainer.evaluate(.test, batches: 1)
    let batch = try task.batch(split: .test, index: 0, batchSize: 2)
    #expect(loss.rows == 2 && batch.batchSize > 2)
    let logits = try trainer.model.logits(ModelInput(batch)).array()
    var expected = 0.0, row = 0
    for label in [Int32(0), 1] {
      var parts = PartAnswers()
      while row < batch.batchSize, batch.labels[row] == label {
        parts.add(PartJoin.probabilities(logits[2 * row..<2 * row + 2]))
        row += 1
      }
      expected -= Double.log(parts.mean[Int(label)])
    }
    #expect(abs(loss.sum - expected) < 1e-9)
  }

  @Test(
    "what does not fit is one line",
    arguments: [
      ("passkey", "window(length=3)", "did you mean windows?"),
      ("passkey", "windows(lenght=3)", "did you mean length?"),
      ("passkey", "windows(length=8, stride=9)", "at most length = 8"),
      ("passkey", "windows, extract", "one way such as"),
      ("passkey", "extract(", "one way such as"), ("copying", "extract()", "none with the task copying"),
      ("passkey", "extract(question=0)", "1 or more"),
      ("passkey", "retrieve(method=embeddings)", "attnlab text has them"),
      ("passkey", "retrieve(path=nowhere)", "no such file or folder"),
      ("passkey", "extract(share=2)", "from 0 to 1"),
    ])
  func refusals(task: String, way: String, words: String) {
    #expect {
      _ = try make(task, way)
    } throws: {
      "\($0)".contains(words) && !"\($0)".contains("\n")
    }
  }

  @Test("a checkpoint's record and rows say the way")
  func summary() throws {
    let task = try make("passkey", "windows(stride=64, length=128)")
    #expect(task.configurationSummary == "length=512;depth=-1.0;way=windows(stride=64, length=128)")
    #expect(try make("passkey", "none").configurationSummary == "length=512;depth=-1.0")
  }
}
