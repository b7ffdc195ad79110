import Tasks

extension Windows {
  /// The most bytes of text that are held beside a batch: what reading holds, a window and a sentence.
  public var mostHeld: Int { TextStream.mostHeld + configuration.length + Sentences.longest + 1 }

  /// The windows of a file or folder, batch by batch; no window has text of two files.
  /// - Parameters:
  ///   - text: what is read.
  ///   - kind: whether every next byte is asked for, or a class.
  ///   - size: the most windows of a batch.
  ///   - body: is called with windows, and whether a file ends with them; a batch has windows of one file.
  /// - Returns: counts; kept are the tokens that windows have, those in two windows twice.
  /// - Throws: `TextError`; what the body throws.
  public func forEachBatch(
    of text: TextStream, asking kind: TaskKind, size: Int, _ body: ([Example], Int, Bool) throws -> Void
  ) throws -> StageCount {
    let start = ContinuousClock().now
    var count = StageCount(), rows: [Example] = [], open = Reading(), file = 0
    // The byte behind a window is its last target.
    let ahead = kind == .languageModel ? 1 : 0
    func add(until end: Int) throws {
      let inputs = open.bytes[0..<end - open.start].map { Int32($0) }
      if ahead == 0 {
        rows.append(Example(inputs: inputs, label: 0))
      } else {
        let seen = [Int32](repeating: TaskBatch.ignored, count: open.scored - open.start)
        let targets = open.bytes[open.scored - open.start + 1..<end - open.start + 1].map { Int32($0) }
        rows.append(Example(inputs: inputs, targets: seen + targets))
      }
      count.units += 1
      count.kept += inputs.count
      open.scored = end
      let step = min(configuration.stride, open.bytes.count)
      open.bytes.removeFirst(step)
      open.start += step
      if rows.count == size { try flush(isEnd: false) }
    }
    func flush(isEnd: Bool) throws {
      if !rows.isEmpty || isEnd { try body(rows, file, isEnd) }
      rows = []
    }
    func endFile() throws {
      let end = open.start + open.bytes.count - ahead
      while open.scored < end { try add(until: min(end, open.start + configuration.length)) }
      try flush(isEnd: true)
      open = Reading()
    }
    let read = try text.forEachSentence { sentence in
      if sentence.file != file {
        if !open.isEmpty { try endFile() }
        file = sentence.file
      }
      open.bytes += sentence.bytes
      while open.bytes.count >= configuration.length + ahead {
        try add(until: open.start + configuration.length)
      }
    }
    try endFile()
    count.keptUnits = count.units
    count.note(read, holding: configuration.length + Sentences.longest + 1)
    count.seconds = start.seconds
    return count
  }

  /// The bytes of a file from the next window's beginning on.
  private struct Reading {
    var bytes: [UInt8] = []
    /// Where the next window begins in the file.
    var start = 0
    /// Targets before this place have been scored.
    var scored = 0
    var isEmpty: Bool { bytes.isEmpty && start == 0 }
  }
}
