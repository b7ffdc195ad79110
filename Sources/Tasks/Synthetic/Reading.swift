import Basics
import Settings
import Tensors

/// Reading: a question to a generated document, whose answer is known, in bytes.
///
/// A document says of every person where they live (` Bako lives in Berlin.`), what they keep (` Bako keeps a rabbit.`) and
/// who is their friend (` The friend of Bako is Remi.`), in sentences of random order, of as many persons as fit; what is
/// left of the length is filler at the beginning. The end asks where a person, drawn uniformly, lives or what they keep; with
/// two hops their friend: ` Where does the friend of Bako live? Lisbon`. The six letters of the answer are scored; each of 16
/// answers is as likely, so that who knows only the kind of question guesses 1 in 16. All sentences but one or two are about
/// others in the same words.
///
/// Source: made for this lab, after the question answering of RULER (Hsieh et al. 2024) and bAbI (Weston et al. 2015), tasks
/// 1 and 2.
public struct Reading: GeneratedTask {
  /// The settings.
  public struct Configuration: ParameterSet {
    /// Bytes of an example.
    public var length = 1024
    /// Sentences that an answer follows from.
    public var hops = 1

    /// The defaults.
    public init() {}
    /// All parameters.
    public static let parameters: [Parameter<Self>] = [
      .integer("length", \.length, in: 1...400_000, unit: "tokens", help: "bytes of an example"),
      .integer("hops", \.hops, in: 1...2, help: "sentences that an answer follows from; 2: that of a friend"),
    ]
  }

  /// What the task is.
  public static let card = TaskCard(
    id: "reading", title: "Questions to a document",
    paper: "after Weston et al. 2015, Towards AI-complete question answering, and Hsieh et al. 2024, RULER",
    idea: "a question to a document of many persons, whose answer one sentence says, or two")

  /// The configuration in force.
  public let configuration: Configuration
  /// The root of all draws.
  public let key: RandomKey

  /// Creates the task.
  /// - Parameters:
  ///   - configuration: the settings.
  ///   - key: the root of all draws.
  /// - Throws: `ConfigurationError` when the sentences of two persons and the question do not fit.
  public init(_ configuration: Configuration, key: RandomKey) throws(ConfigurationError) {
    let least = 2 * Self.bytesOfPerson + Self.longestEnd(configuration.hops) - 1
    guard configuration.length >= least else {
      throw ConfigurationError(
        field: "length", value: "\(configuration.length)", allowed: "at least \(least) bytes for two persons")
    }
    (self.configuration, self.key) = (configuration, key)
  }

  /// The letters of the answer.
  public var kind: TaskKind { .languageModel }
  /// Bytes.
  public var vocabularySize: Int { 256 }
  /// They are.
  public var readsBytes: Bool { true }
  /// Bytes of an example.
  public var length: Int { configuration.length }

  private static let cities = [
    "Berlin", "Lisbon", "London", "Madrid", "Warsaw", "Vienna", "Prague", "Athens", "Dublin", "Zagreb",
    "Ankara",
    "Havana", "Ottawa", "Manila", "Riyadh", "Tehran",
  ]
  private static let animals = [
    "rabbit", "turtle", "parrot", "canary", "ferret", "donkey", "monkey", "spider", "lizard", "pigeon",
    "beaver",
    "badger", "falcon", "toucan", "jaguar", "walrus",
  ]
  private static let answerCount = 6
  private static let names = 16 * 5 * 16 * 5

  /// Four letters, consonants and vowels in turn.
  private static func name(_ number: Int) -> String {
    let consonants = Array("bdfghjklmnprstvz"), vowels = Array("aeiou")
    let letters = [
      consonants[number % 16], vowels[number / 16 % 5], consonants[number / 80 % 16],
      vowels[number / 1280 % 5],
    ]
    return String(letters).capitalized
  }

  private static func sentences(_ name: String, city: Int, animal: Int, friend: String) -> [String] {
    [
      " \(name) lives in \(cities[city]).", " \(name) keeps a \(animals[animal]).",
      " The friend of \(name) is \(friend).",
    ]
  }
  private static let bytesOfPerson = sentences("Bako", city: 0, animal: 0, friend: "Remi").joined().utf8.count

  private static func question(of name: String, hops: Int, place: Bool) -> String {
    let who = hops == 2 ? "the friend of \(name)" : name
    return place ? " Where does \(who) live? " : " What does \(who) keep? "
  }
  private static func longestEnd(_ hops: Int) -> Int {
    question(of: "Bako", hops: hops, place: true).utf8.count + answerCount
  }

  /// Draws one example.
  /// - Parameter generator: where the draws come from.
  /// - Returns: the example.
  /// - Complexity: O(length).
  public func example(_ generator: inout RandomGenerator) -> Example {
    let c = configuration
    let count = min(Self.names, (c.length + 1 - Self.longestEnd(c.hops)) / Self.bytesOfPerson)
    let people = distinct(count, in: 0..<Self.names, &generator).map { number in
      (
        name: Self.name(number), city: generator.integer(below: 16), animal: generator.integer(below: 16),
        friend: generator.integer(below: count - 1)
      )
    }
    // A friend is somebody else.
    let friends = people.indices.map { people[$0].friend < $0 ? people[$0].friend : people[$0].friend + 1 }
    var sentences = people.indices.flatMap { place in
      let one = people[place]
      return Self.sentences(
        one.name, city: one.city, animal: one.animal, friend: people[friends[place]].name)
    }
    sentences.shuffle(using: &generator)
    let asked = generator.integer(below: count), isPlace = generator.integer(below: 2) == 0
    let person = people[c.hops == 2 ? friends[asked] : asked]
    let answer = isPlace ? Self.cities[person.city] : Self.animals[person.animal]
    let end = Self.question(of: people[asked].name, hops: c.hops, place: isPlace) + answer
    let said = Array((sentences.joined() + end).utf8)
    let phase = generator.integer(below: Passkey.filler.count)
    let filler = (0..<c.length + 1 - said.count).map { Passkey.filler[(phase + $0) % Passkey.filler.count] }
    let text = filler + said
    var targets = [Int32](repeating: TaskBatch.ignored, count: c.length)
    for place in (c.length - Self.answerCount)..<c.length { targets[place] = Int32(text[place + 1]) }
    return Example(inputs: text.dropLast().map { Int32($0) }, targets: targets)
  }
}
