{{ config(materialized='table', cluster_by=['customer'], labels={'made': 'dbt'}) }}
select customer, sum(amount) as total from {{ ref('raw_orders') }} group by customer
