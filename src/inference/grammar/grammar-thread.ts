/**
 * The thread in which grammars are compiled and followed, by XGrammar (Dong et al. 2024) as WebAssembly: a fault of it ends
 * that thread and nothing else.
 */
import { once } from 'node:events'
import { Worker } from 'node:worker_threads'

/** What the tokens are, for the grammars. */
export interface GrammarVocabulary {
  /** By id, as byte-level BPE writes them; those that no grammar may use are empty. */
  readonly tokens: readonly string[]
  /** How many the model knows. */
  readonly vocabSize: number
  /** Allowed where a grammar is complete. */
  readonly eosTokenIds: readonly number[]
}

/** What a text must be: JSON of a schema, or a match of a regular expression. */
export interface GrammarText {
  readonly kind: 'json' | 'regex'
  readonly text: string
}

type Call =
  | { readonly op: 'compile'; readonly grammar: GrammarText }
  | { readonly op: 'open'; readonly matcher: number; readonly grammar: GrammarText }
  | { readonly op: 'accept'; readonly matcher: number; readonly token: number }
  | { readonly op: 'close'; readonly matcher: number }

/** A bit for each token that may come next; null where there is nothing to allow. */
export type TokenMask = Int32Array | null

interface Answer {
  readonly id: number
  readonly mask: TokenMask
  readonly error: string | null
}

interface Pending {
  readonly resolve: (mask: TokenMask) => void
  readonly reject: (error: Error) => void
}

/**
 * JavaScript, so that it runs from source and built alike. The package is written for browsers: it is no module that Node
 * can import, and tells on the console why it gives up.
 */
const program = `
const { readFileSync } = require('node:fs')
const { createRequire } = require('node:module')
const { dirname } = require('node:path')
const { compileFunction, constants } = require('node:vm')
const { parentPort, workerData } = require('node:worker_threads')
const { file, vocabulary, kept } = workerData
let fatal = null
for (const level of ['log', 'warn', 'error']) {
  console[level] = (...said) => {
    fatal ??= /\\[FATAL\\] \\S+ ([\\s\\S]*)/.exec(said.join(' '))?.[1] ?? null
  }
}
const load = () => {
  const module = { exports: {} }
  const names = ['exports', 'require', 'module', '__filename', '__dirname']
  const importModuleDynamically = constants?.USE_MAIN_CONTEXT_DEFAULT_LOADER
  const run = compileFunction(readFileSync(file, 'utf8'), names, { filename: file, importModuleDynamically })
  run.call(globalThis, module.exports, createRequire(file), module, file, dirname(file))
  return module.exports
}
const ready = (async () => {
  const { GrammarCompiler, GrammarMatcher, TokenizerInfo } = load()
  const { tokens, vocabSize, eosTokenIds } = vocabulary
  const info = await TokenizerInfo.createTokenizerInfo([...tokens], 'byte_level', false, vocabSize, [...eosTokenIds])
  return { GrammarMatcher, compiler: await GrammarCompiler.createGrammarCompiler(info, false) }
})()
const kinds = {
  // On one line: with any white space a model may write blanks without end.
  json: (compiler, text) => compiler.compileJSONSchema(text, false, -1),
  regex: (compiler, pattern) => compiler.compileStructuralTag({ type: 'structural_tag', format: { type: 'regex', pattern } }),
}
const compiled = new Map()
const compile = async ({ kind, text }) => {
  const key = kind + ' ' + text
  const grammar = compiled.get(key) ?? (await kinds[kind]((await ready).compiler, text))
  compiled.delete(key)
  compiled.set(key, grammar)
  for (const [old, grammar] of compiled) {
    if (compiled.size <= kept) break
    grammar.dispose()
    compiled.delete(old)
  }
  return grammar
}
const matchers = new Map()
const maskOf = async (matcher) => (matcher.isTerminated() ? null : (await matcher.getNextTokenBitmask()).slice())
const ops = {
  compile: async ({ grammar }) => {
    await compile(grammar)
    return null
  },
  open: async ({ matcher, grammar }) => {
    const { GrammarMatcher } = await ready
    const made = await GrammarMatcher.createGrammarMatcher(await compile(grammar))
    matchers.set(matcher, made)
    return maskOf(made)
  },
  accept: async ({ matcher, token }) => {
    const made = matchers.get(matcher)
    if (!made.acceptToken(token)) throw new Error('token ' + token + ' is not allowed here')
    return maskOf(made)
  },
  close: async ({ matcher }) => {
    matchers.get(matcher)?.dispose()
    matchers.delete(matcher)
    return null
  },
}
let last = Promise.resolve()
parentPort.on('message', ({ id, ...call }) => {
  last = last
    .then(() => ops[call.op](call))
    .then(
      (mask) => parentPort.postMessage({ id, mask, error: null }),
      (error) => parentPort.postMessage({ id, mask: null, error: fatal ?? String(error?.message ?? error) }),
    )
})
`

export interface GrammarThreadOptions {
  readonly vocabulary: GrammarVocabulary
  /** Compiled grammars that are kept. */
  readonly kept: number
  /** A call that takes longer ends the thread. */
  readonly limitMs: number
}

export class GrammarThread {
  readonly #worker: Worker
  readonly #limitMs: number
  readonly #pending = new Map<number, Pending>()
  #calls = 0
  #fault: Error | null = null

  constructor({ vocabulary, kept, limitMs }: GrammarThreadOptions) {
    const file = new URL(import.meta.resolve('@mlc-ai/web-xgrammar')).pathname
    this.#limitMs = limitMs
    this.#worker = new Worker(program, {
      eval: true,
      workerData: { file, vocabulary, kept },
      execArgv: ['--disable-warning=ExperimentalWarning'],
    })
    this.#worker.unref()
    this.#worker.on('message', (answer: Answer) => this.#settle(answer))
    this.#worker.on('error', (error) => this.#end(error))
    this.#worker.on('exit', () => this.#end(new Error('the thread of grammars has ended')))
  }

  get isOver(): boolean {
    return this.#fault !== null
  }

  /** Rejects with the library's reason; then the thread is over, for the library may be in any state. */
  async call(call: Call): Promise<TokenMask> {
    if (this.#fault !== null) throw this.#fault
    const id = this.#calls++
    const timer = setTimeout(() => this.#end(new Error(`it took longer than ${this.#limitMs} ms`)), this.#limitMs)
    try {
      return await new Promise<TokenMask>((resolve, reject) => {
        this.#pending.set(id, { resolve, reject })
        this.#worker.postMessage({ id, ...call })
      })
    } finally {
      clearTimeout(timer)
      this.#pending.delete(id)
    }
  }

  async close(): Promise<void> {
    if (this.#fault !== null) return
    this.#end(new Error('the thread of grammars was closed'))
    await once(this.#worker, 'exit')
  }

  #settle({ id, mask, error }: Answer): void {
    const pending = this.#pending.get(id)
    if (error === null) {
      pending?.resolve(mask)
      return
    }
    pending?.reject(new Error(error))
    this.#end(new Error('the thread of grammars has ended'))
  }

  #end(fault: Error): void {
    if (this.#fault !== null) return
    this.#fault = fault
    void this.#worker.terminate()
    for (const { reject } of this.#pending.values()) reject(fault)
  }
}
