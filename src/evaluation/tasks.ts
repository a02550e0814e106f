/** What can be scored from files: for each task its reference and output formats, and its official metrics by their names. */
import type { ScoreOf } from './bootstrap.ts'
import { scoreOfCounts } from './bootstrap.ts'
import { readE2eReferences } from './datasets/e2e.ts'
import { type GlueTask, glueTasks, readGlueExamples, readPredictions } from './datasets/glue.ts'
import { readTripleReferences } from './datasets/parallel-references.ts'
import { type Outputs, type ReferenceSet, readOutputs } from './datasets/reference-set.ts'
import { type LabelMetricName, labelMetrics } from './label-metrics.ts'
import { countsOf, type MetricName, metrics } from './metrics.ts'
import { tokenizeNltk } from './nltk-words.ts'
import { lowercasedWords } from './text-views.ts'

/** One metric of one system: its score on all instances, or on a resample of them. */
export interface Measurement {
  /** As the task's official script calls it. */
  readonly name: string
  readonly higherIsBetter: boolean
  /** How many instances there are. */
  readonly size: number
  readonly scoreOf: ScoreOf
}

/** Measures a system's outputs, from its file. Of one opened task all systems are measured on the same instances. */
type Measure = (hypotheses: string) => Promise<Measurement[]>

export interface Task {
  readonly references: string
  readonly hypotheses: string
  readonly open: (references: readonly string[]) => Promise<Measure>
}

interface TextRow {
  /** The official script's name. */
  readonly name: string
  readonly metric: MetricName
  /** What brings the metric into the official script's unit (default 1). */
  readonly unit?: number
  /** What is done to all texts first. */
  readonly view?: View
  /** A place without a reference in files of parallel references: left out unless the official script counts it. */
  readonly blankReferences?: 'counted'
}

interface View {
  readonly text: (text: string) => string
  /** How many references are looked at (default all). */
  readonly references?: number
}

/** What LoRA does to WebNLG and DART texts before the official script, `--tokenize --lower --ref_num 6`. */
const lora: View = { text: lowercasedWords, references: 6 }

/** What WebNLG's script gives to METEOR. Its TER brings these tokens of its own. */
const nltk: View = { text: (text) => tokenizeNltk(text).join(' ') }

// biome-ignore format: reads as a table
const e2e: readonly TextRow[] = [
  { name: 'BLEU', metric: 'bleu', unit: 1 / 100 },
  { name: 'NIST', metric: 'nist' },
  { name: 'METEOR_no_paraphrases', metric: 'meteor' },
  { name: 'ROUGE_L', metric: 'rouge_l' },
  { name: 'CIDEr', metric: 'cider' },
  { name: 'NIST_perl', metric: 'nist_perl' },
]

// biome-ignore format: reads as a table
const triples: readonly TextRow[] = [
  { name: 'BLEU', metric: 'multi_bleu_detok', blankReferences: 'counted' },
  { name: 'METEOR_no_paraphrases', metric: 'meteor_text', view: nltk },
  { name: 'TER', metric: 'ter_pyter', blankReferences: 'counted' },
  { name: 'chrF++', metric: 'chrf_plus_plus_py', unit: 1 / 100 },
  { name: 'TER_tercom', metric: 'ter' },
  { name: 'BLEU_lower_tokenized', metric: 'multi_bleu_detok', view: lora },
  { name: 'METEOR_no_paraphrases_lower_tokenized', metric: 'meteor_text', view: { ...lora, text: (text) => nltk.text(lora.text(text)) } },
  { name: 'TER_lower_tokenized', metric: 'ter_pyter', view: lora },
]

/** GLUE's metrics by the names that its scripts print. */
const glueNames: Readonly<Record<LabelMetricName, string>> = {
  accuracy: 'accuracy',
  f1: 'f1',
  matthews: 'matthews_correlation',
  pearson: 'pearson',
  spearman: 'spearmanr',
}

const tripleTask = (task: 'webnlg' | 'dart'): Task => ({
  references: 'reference0 reference1 ... (one line an instance), their stem, or the JSON or XML of the data set',
  hypotheses: 'one output a line, in the order of the references',
  open: async (files) => textMeasure(await readTripleReferences(task, files), triples),
})

const glueTask = (task: GlueTask): Task => ({
  references: 'the official file with labels (dev.tsv), or converted JSON lines',
  hypotheses: 'TSV with the columns index and prediction',
  open: async (files) => {
    const labels = Float64Array.from(await readGlueExamples(task, files[0]!), ({ label }) => label)
    return async (file) => labelMeasurements(task, await readPredictions(task, file, labels.length), labels)
  },
})

/** Every task by its name on the command line. */
export const tasks: ReadonlyMap<string, Task> = new Map<string, Task>([
  [
    'e2e',
    {
      references:
        'the challenge CSV (mr,ref), text with a blank line between instances, context||completion, or JSON lines',
      hypotheses:
        'one output a line for each distinct MR, in the order of first appearance; or TSV or CSV with the MRs',
      open: async ([file]) => textMeasure([await readE2eReferences(file!)], e2e),
    },
  ],
  ['webnlg', tripleTask('webnlg')],
  ['dart', tripleTask('dart')],
  ...Object.keys(glueTasks).map((task) => [`glue/${task}`, glueTask(task as GlueTask)] as const),
])

function textMeasure(sets: readonly [ReferenceSet, ...ReferenceSet[]], rows: readonly TextRow[]): Measure {
  let chosen = sets
  return async (file) => {
    const outputs = await readOutputs(file, chosen)
    chosen = [outputs.set]
    return rows.map((row) => textMeasurement(row, outputs))
  }
}

function textMeasurement(row: TextRow, { hypotheses, set }: Outputs): Measurement {
  const metric = metrics[row.metric]
  const text = row.view?.text ?? ((as: string) => as)
  const references = set.references.map((group) =>
    (row.blankReferences ? group : group.filter((reference) => reference.trim() !== ''))
      .slice(0, row.view?.references)
      .map(text),
  )
  // Counted when it is asked for, once: some metrics take long.
  let counted: ScoreOf | undefined
  const scoreOf: ScoreOf = (indices) => {
    counted ??= scoreOfCounts(countsOf(metric, hypotheses.map(text), references), metric.combine)
    return (row.unit ?? 1) * counted(indices)
  }
  return { name: row.name, higherIsBetter: metric.higherIsBetter, size: hypotheses.length, scoreOf }
}

function labelMeasurements(task: GlueTask, predictions: Float64Array, labels: Float64Array): Measurement[] {
  return glueTasks[task].metrics.map((name) => {
    const { score, higherIsBetter } = labelMetrics[name]
    const drawn = (values: Float64Array, indices?: Uint32Array) =>
      indices ? Float64Array.from(indices, (i) => values[i]!) : values
    const scoreOf: ScoreOf = (indices) => score(drawn(predictions, indices), drawn(labels, indices))
    return { name: glueNames[name], higherIsBetter, size: labels.length, scoreOf }
  })
}
