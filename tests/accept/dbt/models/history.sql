{{ config(materialized='incremental', unique_key='id') }}
select id, amount, day from {{ ref('raw_orders') }}
