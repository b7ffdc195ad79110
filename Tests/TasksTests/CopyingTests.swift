import Basics
import Tensors
import Testing

@testable import Tasks

@Suite struct CopyingTests {
  @Test(arguments: [(1, 0, 4), (10, 100, 10), (3, 7, 200)])
  func copiesTheWordAcrossTheBlanks(tokens: Int, blanks: Int, vocabulary: Int) throws {
    var c = Copying.Configuration()
    (c.tokens, c.blanks, c.vocabulary) = (tokens, blanks, vocabulary)
    let task = Copying(c, key: RandomKey(seed: 1))
    var generator = RandomKey(seed: 2).generator()
    var seen: Set<Int32> = []
    for _ in 0..<100 {
      let example = task.example(&generator)
      let word = Array(example.inputs[..<tokens])
      #expect(example.inputs.count == task.length)
      #expect(example.inputs[tokens..<tokens + blanks].allSatisfy { $0 == 0 })
      #expect(example.inputs[(tokens + blanks)...].allSatisfy { $0 == Int32(vocabulary - 1) })
      #expect(example.targets[..<(tokens + blanks)].allSatisfy { $0 == TaskBatch.ignored })
      #expect(Array(example.targets[(tokens + blanks)...]) == word)
      seen.formUnion(word)
    }
    #expect(seen.min() ?? 0 >= 1 && seen.max() ?? 0 <= Int32(vocabulary - 2))
    if vocabulary <= 10 { #expect(seen.count == vocabulary - 2) }
  }
}
